"""Clearings are logged, sealed, and can be computed again."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Forbidden, NotFound
from backend.domain.ids import EpochId
from backend.domain.market_rules import RuleChange
from backend.services import epochs, market_rules
from backend.services.epochs import BOOKS_KEPT, Verdict
from backend.storage.epochs import Epoch
from tests.integration.services.clock import in_seconds
from tests.market import Market

ADMIN = Principal(None, None, Role.ADMIN)  # type: ignore[arg-type]  # the operator, who has no account


def logged(market: Market) -> list[Epoch]:
    """All clearings, newest first."""
    return epochs.list_epochs(market.app.uow(), 100)


def tamper(market: Market, statement: str) -> None:
    """Change a row by hand, as nobody may."""
    with market.app.engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0


def busy_epoch(market: Market) -> None:
    """A clearing in which several orders trade on several nodes and several get nothing."""
    for number in range(3):
        market.node(f"n{number}", slots=2, ask=1_000_000 + number)
    market.executor()
    for limit in range(1_000_000, 2_000_000, 100_000):
        market.place(limit_nano_per_slot_s=limit)
    market.clear()


def test_what_was_decided_is_computed_again_from_the_book_that_was_published(market: Market) -> None:
    busy_epoch(market)
    told: list[tuple[int, int]] = []
    [replayed] = epochs.replay_last(market.app.uow(), ADMIN, 10, lambda *done: told.append(done))
    assert told == [(1, 1)]
    assert replayed.verdict is Verdict.EQUAL
    assert replayed.decided == replayed.computed == 6
    assert (replayed.epoch.orders, replayed.epoch.offers) == (10, 3)


def test_a_market_of_the_other_mechanism_replays_by_it_and_keeps_what_is_between_the_prices(market: Market) -> None:
    market_rules.set_rule(market.app.uow(), utc_now(), ADMIN, "fog", "north", RuleChange(mechanism="mcafee"))
    busy_epoch(market)
    [replayed] = epochs.replay_last(market.app.uow(), ADMIN, 10)
    assert (replayed.verdict, replayed.epoch.mechanism) == (Verdict.EQUAL, "mcafee")
    with market.app.engine.connect() as connection:
        prices = connection.execute(text("SELECT price_nano_per_slot_s, earns_nano_per_slot_s FROM trades")).all()
    assert prices
    assert all(earns <= pays for pays, earns in prices)


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("UPDATE trades SET slots = slots + 1 WHERE id = (SELECT min(id::text)::uuid FROM trades)", Verdict.DIFFERENT),
        ("UPDATE trades SET price_nano_per_slot_s = price_nano_per_slot_s + 1", Verdict.DIFFERENT),
        ("UPDATE epochs SET price_nano_per_slot_s = price_nano_per_slot_s + 1", Verdict.DIFFERENT),
        ("UPDATE epochs SET trades_digest = book_digest", Verdict.DIFFERENT),
        ("UPDATE epochs SET mechanism = 'mcafee'", Verdict.DIFFERENT),
        ("UPDATE epochs SET book_digest = trades_digest", Verdict.OTHER_BOOK),
        ("UPDATE epochs SET rules = rules + 1", Verdict.OTHER_RULES),
        ("UPDATE epochs SET book = NULL", Verdict.NOT_KEPT),
    ],
)
def test_whatever_is_changed_afterwards_is_found(market: Market, statement: str, verdict: Verdict) -> None:
    busy_epoch(market)
    tamper(market, statement)
    [replayed] = epochs.replay_last(market.app.uow(), ADMIN, 1)
    assert replayed.verdict is verdict


def test_a_market_that_nothing_happens_in_is_logged_once(market: Market) -> None:
    market.node("a")
    market.executor()
    market.place(limit_nano_per_slot_s=9_000_000)
    market.clear()
    market.place()
    for _ in range(5):
        market.clear()
    waiting, served = logged(market)
    assert (waiting.price_nano, waiting.repeats) == (None, 4)
    assert (served.price_nano is not None, served.repeats) == (True, 0)
    assert {replayed.verdict for replayed in epochs.replay_last(market.app.uow(), ADMIN, 10)} == {Verdict.EQUAL}


def test_books_are_dropped_after_thirty_days_and_what_was_decided_stays(market: Market) -> None:
    busy_epoch(market)
    assert epochs.forget_books(market.app.uow(), in_seconds(BOOKS_KEPT.total_seconds() - 60)) == 0
    later = utc_now() + BOOKS_KEPT + timedelta(seconds=60)
    assert epochs.forget_books(market.app.uow(), later) == 1
    assert epochs.forget_books(market.app.uow(), later) == 0
    [replayed] = epochs.replay_last(market.app.uow(), ADMIN, 1)
    assert (replayed.verdict, replayed.decided) == (Verdict.NOT_KEPT, 6)


def test_books_are_sealed(market: Market) -> None:
    busy_epoch(market)
    [epoch] = logged(market)
    with pytest.raises(Forbidden):
        epochs.replay(market.app.uow(), market.buyer, epoch.id)
    with pytest.raises(NotFound):
        epochs.replay(market.app.uow(), ADMIN, EpochId(UUID(int=1)))
    assert epochs.replay(market.app.uow(), ADMIN, epoch.id).verdict is Verdict.EQUAL
