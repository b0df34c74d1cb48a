"""Who is still connected to a market that another is to take the place of."""

from typing import Any

from sqlalchemy import create_engine, event

from backend.storage.replacements import ReplacementRepository
from tests.backups import leave
from tests.market import Market


def test_a_session_that_stays_is_counted_and_one_that_leaves_meanwhile_is_not(
    market: Market, database_url: str
) -> None:
    market.wallet()  # its session stays open
    engine = create_engine(database_url)
    with engine.begin() as connection:
        replacements = ReplacementRepository(connection)
        assert replacements.await_others() == 1

        def leave_once_counted(*told: Any) -> None:
            if "pg_stat_activity" in told[2]:
                leave(market)

        event.listen(connection, "after_cursor_execute", leave_once_counted)
        assert replacements.await_others() == 0
    engine.dispose()
