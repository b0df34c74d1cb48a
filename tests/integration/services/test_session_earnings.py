"""Earnings of sessions with an SLA wait from the settlement of each window on, until it is known what is owed."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.leases import WINDOW_S
from backend.domain.ledger import Transfer, TransferKind
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.nodes import NodeSpec
from backend.domain.sla import Measured
from backend.services import audit, corrections, disputes, nodes, sla
from backend.storage.sessions import Session
from backend.storage.unit_of_work import UnitOfWork
from tests.integration.services.clock import in_seconds
from tests.integration.services.earning import ADMIN, earn, logged
from tests.integration.services.promising import (
    BAD_MS,
    EARNED,
    FIRST_STEP,
    FUNDS,
    GOOD_MS,
    PAID,
    close,
    end,
    opened,
    provider_has,
    renew,
    seen,
    settle,
    windows,
)
from tests.integration.services.test_rating_races import until_waiting
from tests.integration.services.usage import pay_out
from tests.market import ASK, Market, Statements


@pytest.fixture(autouse=True)
def _(market: Market, books_in_order: None) -> None:
    """A node, and books that are in order after every test."""
    market.node("a", slots=32)


def test_a_kept_promise_gives_everything_back(market: Market) -> None:
    session = opened(market)
    assert (session.sla, session.provider_id, session.measured) == (True, market.provider.account_id, Measured())
    renew(market, session, 16, seen(40))
    settle(market, session, WINDOW_S + 1)
    assert provider_has(market) == (0, EARNED)  # at once, in the transaction that paid it
    end(market, session, 2 * WINDOW_S, seen(90))
    settle(market, session, 2 * WINDOW_S)
    assert provider_has(market) == (0, 2 * EARNED)
    [window] = windows(market)
    assert (window.account_id, window.provider_id) == (market.buyer.account_id, market.provider.account_id)
    assert (window.tier, window.state, window.measured) == ("medium", "open", seen(90))
    assert (window.charged_nano, window.withheld_nano) == (2 * EARNED, 2 * EARNED)
    assert (close(market), close(market)) == (1, 0)
    assert provider_has(market) == (2 * EARNED, 0)
    assert market.wallet().wallet_nano == FUNDS - 2 * PAID
    [closed] = windows(market)
    assert (closed.latency_ms_p95, closed.uptime_ppm, closed.credit_ppm, closed.credit_nano) == (20, 1_000_000, 0, 0)
    with market.app.uow() as uow:
        kinds = [t.kind for t in uow.ledger.transfers_of_order(session.order_id)]
    assert sorted(kinds) == ["charge", "charge", "fee", "fee", "withhold", "withhold"]
    assert logged(market, "sla") == []


def test_a_late_p95_is_credited_from_what_was_withheld(market: Market) -> None:
    session = opened(market)
    end(market, session, WINDOW_S, seen(10, BAD_MS))
    settle(market, session, WINDOW_S)
    assert close(market) == 1
    owed = -(-EARNED * FIRST_STEP // 1_000_000)
    [window] = windows(market)
    assert (window.latency_ms_p95, window.credit_ppm) == (BAD_MS, FIRST_STEP)
    assert window.credit_nano == window.owed_nano == owed > 0
    assert provider_has(market) == (EARNED - owed, 0)
    assert market.wallet().wallet_nano == FUNDS - PAID + owed
    assert logged(market, "sla") == ["sla.credit"]


def test_requests_that_failed_are_credited_by_the_ladder(market: Market) -> None:
    session = opened(market)
    end(market, session, WINDOW_S, seen(97, failures=3))
    settle(market, session, WINDOW_S)
    close(market)
    [window] = windows(market)
    assert (window.uptime_ppm, window.credit_ppm) == (970_000, 300_000)
    assert window.credit_nano == -(-EARNED * 3 // 10)


def test_windows_are_withheld_once_however_often_they_are_settled(market: Market) -> None:
    session = opened(market)
    renew(market, session, 16)
    for second in (31, 32, 61, 62, 500):
        settle(market, session, second)
    assert provider_has(market) == (0, 2 * EARNED)
    sla.observe(market.app.uow(), utc_now())  # the order has ended, and there is nothing more to count
    assert sla.observe(market.app.uow(), utc_now()) == 0
    [window] = windows(market)
    assert (window.charged_nano, window.withheld_nano, window.measured.requests) == (2 * EARNED, 2 * EARNED, 0)
    with market.app.uow() as uow:
        shares = uow.connection.execute(text("SELECT withheld_nano FROM sla_session_shares")).scalars().all()
    assert shares == [EARNED, EARNED]


def test_what_a_provider_has_paid_out_already_is_not_withheld_of_others(market: Market) -> None:
    session = opened(market)
    earn(market, NANO_PER_CREDIT)
    end(market, session, WINDOW_S, seen(9, BAD_MS))
    settle(market, session, WINDOW_S)
    assert provider_has(market) == (NANO_PER_CREDIT, EARNED)
    pay_out(market, NANO_PER_CREDIT)
    assert provider_has(market) == (0, EARNED)


def test_of_a_charge_that_was_reversed_meanwhile_no_share_is_owed_and_of_a_smaller_one_in_its_place_its_own(
    market: Market,
) -> None:
    session = opened(market)
    renew(market, session, 16, seen(9, BAD_MS))
    end(market, session, 2 * WINDOW_S, seen(20, BAD_MS))
    settle(market, session, 2 * WINDOW_S)
    earn(market, 4 * PAID)
    with market.app.uow() as uow:
        charges = [t for t in uow.ledger.transfers_of_order(session.order_id) if t.kind is TransferKind.CHARGE]
    corrections.reverse(market.app.uow(), utc_now(), ADMIN, charges[0].id, "wrong")
    dispute = disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, session.order_id, "half was wrong")
    disputes.uphold(market.app.uow(), utc_now(), ADMIN, dispute.id, "so it was", PAID // 2)
    with market.app.uow() as uow:
        after_all = uow.ledger.transfers_of_order(session.order_id)
    reversed_ = {t.original_id for t in after_all if t.kind is TransferKind.REVERSAL}
    standing = [t.amount_nano for t in after_all if t.kind is TransferKind.CHARGE and t.id not in reversed_]
    close(market)
    [window] = windows(market)
    assert [window.charged_nano] == standing
    assert 0 < window.charged_nano < EARNED


def test_a_process_that_dies_between_steps_has_moved_nothing(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(market)
    end(market, session, WINDOW_S)

    def die(_: UnitOfWork) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(UnitOfWork, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            settle(market, session, WINDOW_S)
        with pytest.raises(KeyboardInterrupt):
            end(market, session, WINDOW_S, seen(5))
    assert (windows(market), provider_has(market)) == ([], (0, 0))
    settle(market, session, WINDOW_S)
    end(market, session, WINDOW_S, seen(5))
    assert [w.measured for w in windows(market)] == [seen(5)]
    assert provider_has(market) == (0, EARNED)


def test_many_at_once_settle_count_and_close_without_a_deadlock_and_to_the_nano(market: Market) -> None:
    market.node("b", slots=32, kind="cloud")
    some = [opened(market, sla=bool(number % 3), tier=("medium", "large")[number % 2]) for number in range(9)]

    def step(number: int, session: Session) -> None:
        dice = Random(number)
        renew(market, session, 16 + 30 * number, seen(5 + 20 * number, dice.choice((GOOD_MS, BAD_MS))))
        settle(market, session, 20 + 30 * number)
        sla.close_due(market.app.uow(), in_seconds(dice.choice((0, 3_700))))

    with ThreadPoolExecutor(6) as pool:
        for number in range(3):
            list(pool.map(lambda session, step_=number: step(step_, session), some))
        list(pool.map(lambda session: end(market, session, 100, seen(90)), some))
    settle(market, some[0], 200)
    while sla.close_due(market.app.uow(), in_seconds(9_000)):
        pass
    earnings, withheld = provider_has(market)
    assert withheld == 0
    credited = sum(w.credit_nano for w in windows(market))
    paid = sum(w.charged_nano for w in windows(market))
    plain = sum(
        t.amount_nano
        for session in some
        if not session.sla
        for t in transfers(market, session)
        if t.kind is TransferKind.CHARGE
    )
    assert earnings == paid + plain - credited


def transfers(market: Market, session: Session) -> list[Transfer]:
    with market.app.uow() as uow:
        return list(uow.ledger.transfers_of_order(session.order_id))


def test_money_is_locked_in_one_order_by_who_settles_and_who_closes(market: Market) -> None:
    first = opened(market)
    rival = market.account("rival")
    spec = NodeSpec("b", "fog", "north", 8, "pool")
    node = nodes.register_node(market.app.uow(), utc_now(), rival.account_id, spec)
    nodes.offer(market.app.uow(), utc_now(), node.id, ASK, rival)
    [old] = nodes.list_nodes(market.app.uow(), utc_now(), market.provider.account_id)
    nodes.drain_node(market.app.uow(), utc_now(), old.id, market.provider)
    second = opened(market)
    assert second.provider_id == rival.account_id
    for session in (first, second):
        end(market, session, 5, seen(3))
    with ThreadPoolExecutor(1) as pool, market.app.uow() as closing:
        closing.ledger.lock(withheld_of=[first.provider_id])
        settled = pool.submit(settle, market, second, 10)
        until_waiting(closing.connection, 1)
        closing.ledger.lock(earnings_of=[second.provider_id])  # a later account, so nobody who waits has it
        closing.commit()
        assert settled.result() == 2


def test_any_number_of_sessions_is_settled_in_the_same_number_of_statements(market: Market) -> None:
    counts = []
    for many in (1, 5):
        some = [opened(market) for _ in range(many)]
        for session in some:
            end(market, session, 5, seen(3))
        with Statements(market.app.engine) as statements:
            assert settle(market, some[-1], 10) == many
        counts.append(statements.count)
    assert counts[0] == counts[1]


TAMPERING = [
    "UPDATE sla_session_shares SET withheld_nano = withheld_nano - 1",
    "DELETE FROM sla_session_shares",
    "UPDATE sla_windows SET withheld_nano = withheld_nano + 1",
]


def test_the_audit_finds_shares_that_were_changed_by_hand(market: Market, subtests: pytest.Subtests) -> None:
    session = opened(market)
    end(market, session, 5, seen(3))
    settle(market, session, 6)
    for statement in TAMPERING:
        with subtests.test(statement), market.app.uow() as uow:
            assert uow.connection.execute(text(statement)).rowcount == 1
            for report in (audit.examine(uow), audit.examine(uow, account=market.provider.account_id)):
                assert {d.what for d in report.differences} == {"sla settled"}
