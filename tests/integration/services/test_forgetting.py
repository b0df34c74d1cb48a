"""What nobody asks for any more goes: not before its time, and not what is still to be sent."""

from datetime import timedelta

from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.services import sweeper
from tests.market import Market


def messages(market: Market) -> int:
    with market.app.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM outbox")).scalar_one())


def test_messages_are_forgotten_an_hour_after_they_were_sent(market: Market) -> None:
    market.node("rack-1", 4)
    market.executor()
    market.place(2)
    market.clear()
    owed = messages(market)
    assert owed
    assert sweeper.forget(market.app.uow(), utc_now() + 2 * sweeper.SENT_KEPT) == 0, "they are not sent yet"
    market.dispatched()
    assert sweeper.forget(market.app.uow(), utc_now() + sweeper.SENT_KEPT - timedelta(minutes=1)) == 0
    assert sweeper.forget(market.app.uow(), utc_now() + sweeper.SENT_KEPT + timedelta(minutes=1)) == owed
    assert messages(market) == 0
