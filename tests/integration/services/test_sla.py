"""SLAs on the real database: service goes into windows, its earnings wait there, and broken promises are paid once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Invalid, NotFound
from backend.domain.ids import OrderId, SlaWindowId
from backend.domain.ledger import AccountKind, TransferKind
from backend.domain.money import NANO_PER_CREDIT, fee_nano
from backend.domain.nodes import NodeSpec
from backend.domain.orders import OrderState
from backend.domain.sla import WINDOW, WINDOW_REQUESTS, Measured, Promise, SlaState, SlaWindow
from backend.domain.work import ATTEMPTS_MAX
from backend.services import audit, corrections, disputes, nodes, sla, sweeper, withholding
from backend.services.withholding import Due
from backend.storage.order_rows import Order
from backend.storage.sla import Between, Service
from backend.storage.unit_of_work import UnitOfWork
from tests.integration.services.clock import in_seconds
from tests.integration.services.earning import (
    ADMIN,
    BUSY_US,
    CHARGED,
    DEAR,
    assert_audited,
    earn,
    has,
    logged,
)
from tests.integration.services.test_rating_races import until_waiting
from tests.integration.services.usage import pay_out
from tests.market import REQUEST, Executor, Market, Statements

EARNED = CHARGED - fee_nano(CHARGED, 40_000)  # of an order of one item in tier medium
FUNDS = 1_000 * NANO_PER_CREDIT
GOOD_MS, BAD_MS = 20, 5_000  # tier medium promises 1,000
FIRST_STEP = 100_000


@pytest.fixture(autouse=True)
def _(market: Market, books_in_order: None) -> None:
    """A node, and books that are in order after every test."""
    market.node("a", slots=8, ask=DEAR)


def serve(market: Market, count: int = 1, latency_ms: int = GOOD_MS, items: int = 1) -> list[Order]:
    """Orders with an SLA that ran, each item so long after it was placed."""
    executor = market.executor()
    wish = {"workload": "batch", "requests": [REQUEST] * items} if items > 1 else {}
    orders = market.place(count, sla_required=True, slots=min(items, 8), **wish)
    with_latency(market, orders, executor, latency_ms)
    return [market.show(order) for order in orders]


def with_latency(market: Market, orders: list[Order], executor: Executor, latency_ms: int) -> None:
    """Run orders, which a living node could serve, to their end, and have taken each item so long.

    Items are moved afterwards, since the clock that they are measured by is the database's.
    """
    while any(market.show(order).closed_at is None for order in orders):
        market.clear()
        executor.commit(executor.claim(market.dispatched()), busy_us=BUSY_US)
        market.settle()
    with market.app.uow() as uow:
        uow.connection.execute(
            text(
                "UPDATE work_items i SET committed_at = o.placed_at + :latency FROM orders o"
                " WHERE o.id = i.order_id AND o.id = ANY(:ids) AND i.state = 'settled'"
            ),
            {"latency": timedelta(milliseconds=latency_ms), "ids": [order.id for order in orders]},
        )
        uow.commit()


def observe(market: Market, now: datetime | None = None) -> int:
    return sla.observe(market.app.uow(), now or utc_now())


def close(market: Market, now: datetime | None = None) -> int:
    return sla.close_due(market.app.uow(), now or utc_now() + WINDOW)


def windows(market: Market, state: str | None = None) -> list[SlaWindow]:
    return sla.list_windows(market.app.uow(), None, state)


def provider_has(market: Market) -> tuple[int, int]:
    """Earnings and withheld."""
    return has(market, market.provider, AccountKind.EARNINGS), has(market, market.provider, AccountKind.WITHHELD)


def test_a_kept_promise_gives_everything_back(market: Market) -> None:
    orders = serve(market, 3)
    assert provider_has(market) == (3 * EARNED, 0)
    assert observe(market) == 3
    assert provider_has(market) == (0, 3 * EARNED)
    [window] = windows(market)
    assert (window.account_id, window.provider_id) == (market.buyer.account_id, market.provider.account_id)
    assert (window.tier, window.state, window.measured.requests, window.measured.failures) == ("medium", "open", 3, 0)
    assert (window.charged_nano, window.withheld_nano) == (3 * EARNED, 3 * EARNED)
    assert_audited(market)
    assert close(market, window.opened_at + WINDOW - timedelta(seconds=1)) == 0
    assert close(market, window.opened_at + WINDOW) == 1
    assert provider_has(market) == (3 * EARNED, 0)
    assert market.wallet().wallet_nano == FUNDS - 3 * CHARGED
    [closed] = windows(market)
    assert (closed.state, closed.latency_ms_p95, closed.uptime_ppm) == (SlaState.CLOSED, GOOD_MS, 1_000_000)
    assert (closed.credit_ppm, closed.credit_nano, closed.owed_nano) == (0, 0, 0)
    with market.app.uow() as uow:
        kinds = [t.kind for t in uow.ledger.transfers_of_order(orders[0].id)]
    assert kinds == ["charge", "fee", "withhold"]
    assert logged(market, "sla") == []


def test_a_late_p95_is_credited_from_what_was_withheld_and_told_in_the_log(market: Market) -> None:
    serve(market, 10, BAD_MS)
    observe(market)
    close(market)
    owed = -(-10 * EARNED * FIRST_STEP // 1_000_000)
    [window] = windows(market)
    assert (window.latency_ms_p95, window.credit_ppm) == (BAD_MS, FIRST_STEP)
    assert (window.credit_nano, window.owed_nano, window.withheld_nano) == (owed, owed, 10 * EARNED)
    assert provider_has(market) == (10 * EARNED - owed, 0)
    assert market.wallet().wallet_nano == FUNDS - 10 * CHARGED + owed
    with market.app.uow() as uow:
        paid = uow.ledger.transfer_with_reference(f"sla {window.id}")
    assert paid
    assert (paid.kind, paid.amount_nano) == (TransferKind.SLA_CREDIT, owed)
    assert logged(market, "sla") == ["sla.credit"]


def test_what_was_counted_and_closed_once_is_not_again(market: Market) -> None:
    serve(market, 2, BAD_MS)
    assert (observe(market), observe(market)) == (2, 0)
    assert provider_has(market) == (0, 2 * EARNED)
    later = utc_now() + WINDOW
    assert (close(market, later), close(market, later)) == (1, 0)
    before = windows(market), provider_has(market), market.wallet()
    assert (observe(market, later), close(market, later + WINDOW)) == (0, 0)
    assert (windows(market), provider_has(market), market.wallet()) == before


def test_of_two_who_count_and_close_at_once_each_order_and_window_is_one_ones(market: Market) -> None:
    serve(market, 8, BAD_MS)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: observe(market), range(4))) == 8
        later = utc_now() + WINDOW
        list(pool.map(lambda _: close(market, later), range(4)))
    [window] = windows(market)
    assert (window.state, window.measured.requests) == ("closed", 8)
    assert logged(market, "sla") == ["sla.credit"]


def test_what_is_lost_while_a_window_is_being_closed_opens_the_next_one(market: Market) -> None:
    serve(market, 2, BAD_MS)
    now = utc_now()
    observe(market, now)
    [first] = windows(market)
    between = Between(first.account_id, first.provider_id, first.tier)

    def lose() -> None:
        with market.app.uow() as uow:
            sla.count_requests(uow, now, [Service(between, OrderId(new_id()), Measured(failures=3))])
            uow.commit()

    with ThreadPoolExecutor(1) as pool, market.app.uow() as closing:
        [window] = closing.sla.lock_open([first.id])
        lost = pool.submit(lose)
        until_waiting(closing.connection, 1)
        closing.sla.write([window.judged(Promise(1_000, 995_000, ()), window.charged_nano, now)])
        restore(closing, first, now)
        closing.commit()
        lost.result()
    second, closed = windows(market)
    assert (closed.id, closed.state, closed.measured.failures) == (first.id, "closed", 0)
    assert (second.state, second.measured.failures) == ("open", 3)


def restore(uow: UnitOfWork, window: SlaWindow, now: datetime) -> None:
    """What closing a window gives back when its promise was kept."""
    due = Due(window.account_id, window.provider_id, window.withheld_nano, 0, f"sla {window.id}")
    withholding.resolve(uow, now, [due])


def test_a_window_after_another_counts_anew(market: Market) -> None:
    serve(market, 2, BAD_MS)
    observe(market)
    serve(market, 1, BAD_MS)
    observe(market)  # into the same window
    close(market)
    serve(market, 3, GOOD_MS)
    observe(market, in_seconds(4_000))
    second, first = windows(market)
    assert (first.state, first.measured.requests, first.credit_ppm) == ("closed", 3, FIRST_STEP)
    assert (second.state, second.measured.requests, second.withheld_nano) == ("open", 3, 3 * EARNED)
    assert_audited(market)
    close(market, in_seconds(8_000))
    assert [w.credit_ppm for w in windows(market, "closed")] == [0, FIRST_STEP]
    assert provider_has(market) == (6 * EARNED - first.credit_nano, 0)


def test_a_window_that_has_counted_enough_is_over_before_its_hour(market: Market) -> None:
    for _ in range(2):
        serve(market, 1, items=WINDOW_REQUESTS // 2)
    now = utc_now()
    observe(market, now)
    [window] = windows(market)
    assert window.measured.requests == WINDOW_REQUESTS
    assert close(market, now) == 1


def test_what_a_provider_has_paid_out_already_is_neither_withheld_nor_lost_track_of(market: Market) -> None:
    serve(market, 2, BAD_MS)
    earn(market, NANO_PER_CREDIT)
    pay_out(market, NANO_PER_CREDIT + 2 * EARNED)
    observe(market)
    assert provider_has(market) == (0, 0)
    close(market)
    [window] = windows(market)
    assert (window.withheld_nano, window.credit_nano, window.credit_ppm) == (0, 0, FIRST_STEP)
    assert window.owed_nano == -(-2 * EARNED * FIRST_STEP // 1_000_000)
    assert market.wallet().wallet_nano == FUNDS - 2 * CHARGED - NANO_PER_CREDIT


def test_a_credit_above_what_is_withheld_is_topped_up_from_what_was_earned_since(market: Market) -> None:
    serve(market, 2, BAD_MS)
    earn(market, NANO_PER_CREDIT)
    pay_out(market, NANO_PER_CREDIT + 2 * EARNED)
    observe(market)
    earn(market, EARNED)
    close(market)
    [window] = windows(market)
    assert window.credit_nano == window.owed_nano == window.withheld_nano > 0
    assert provider_has(market) == (EARNED - window.owed_nano, 0)


def test_nothing_is_moved_when_the_process_dies_between_steps(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(market, 2, BAD_MS)
    before = provider_has(market), market.wallet()

    def die(_: UnitOfWork) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(UnitOfWork, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            observe(market)
    assert (windows(market), provider_has(market), market.wallet()) == ([], *before)
    assert observe(market) == 2
    counted = windows(market), provider_has(market), market.wallet()
    with monkeypatch.context() as dying:
        dying.setattr(UnitOfWork, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            close(market)
    assert (windows(market), provider_has(market), market.wallet()) == counted
    assert logged(market, "sla") == []
    assert close(market) == 1
    assert windows(market)[0].credit_nano > 0


def test_an_item_that_died_is_a_failure_of_its_provider(market: Market) -> None:
    executor = market.executor()
    [order] = market.place(sla_required=True, workload="batch", requests=[REQUEST] * 4, slots=4)
    market.clear()
    with market.app.uow() as uow:
        uow.connection.execute(
            text("UPDATE work_items SET attempt = :n WHERE order_id = :order AND seq = 0"),
            {"n": ATTEMPTS_MAX - 1, "order": order.id},
        )
        uow.commit()
    claimed = executor.claim(market.dispatched())
    with market.app.uow() as uow:
        lost = uow.connection.execute(text("SELECT id FROM work_items WHERE seq = 0")).scalar_one()
        uow.connection.execute(
            text("UPDATE work_items SET claimed_until = :past WHERE id = :id"), {"past": in_seconds(-1), "id": lost}
        )
        uow.commit()
    executor.commit([item for item in claimed if item.item_id != lost], busy_us=BUSY_US)
    market.settle()
    sweeper.sweep(market.app.uow(), utc_now())
    market.settle()
    assert market.show(order).state is OrderState.FAILED
    observe(market)
    [window] = windows(market)
    assert (window.measured.requests, window.measured.failures, window.measured.uptime_ppm) == (4, 1, 750_000)
    close(market)
    [window] = windows(market)
    assert (window.credit_ppm, window.credit_nano) == (1_000_000, window.charged_nano)
    assert window.charged_nano > 0


def test_items_that_were_lost_with_their_node_are_failures_of_its_provider_and_not_of_the_next(market: Market) -> None:
    market.executor()
    orders = market.place(2, sla_required=True)
    plain = market.place(1)
    market.clear()
    later = in_seconds(60)
    assert sweeper.sweep(market.app.uow(), later).moved_orders == 3
    [window] = windows(market)
    assert (window.measured.requests, window.measured.failures, window.opened_at) == (2, 2, later)
    rival = market.account("rival")
    spec = NodeSpec("b", "fog", "north", 8, "rivals")
    node = nodes.register_node(market.app.uow(), utc_now(), rival.account_id, spec)
    nodes.offer(market.app.uow(), utc_now(), node.id, DEAR, rival)
    [dead] = nodes.list_nodes(market.app.uow(), utc_now(), market.provider.account_id)
    nodes.drain_node(market.app.uow(), utc_now(), dead.id, market.provider)
    with_latency(market, [*orders, *plain], market.executor("rivals"), GOOD_MS)
    observe(market)
    theirs = next(w for w in windows(market) if w.provider_id == rival.account_id)
    assert (theirs.measured.requests, theirs.measured.failures) == (2, 0)
    close(market, later + WINDOW)
    credits = {w.provider_id: (w.credit_ppm, w.credit_nano) for w in windows(market)}
    assert credits == {market.provider.account_id: (1_000_000, 0), rival.account_id: (0, 0)}


def test_orders_without_an_sla_are_not_measured_and_nothing_of_them_waits(market: Market) -> None:
    executor = market.executor()
    with_latency(market, market.place(2), executor, BAD_MS)
    assert observe(market) == 0
    assert windows(market) == []
    assert provider_has(market) == (2 * EARNED, 0)


def test_an_order_that_never_ran_is_counted_and_in_no_window(market: Market) -> None:
    market.place(1, sla_required=True, deadline_s=1)
    sweeper.sweep(market.app.uow(), in_seconds(5))
    market.settle()
    assert (observe(market), observe(market)) == (1, 0)
    assert windows(market) == []


def test_each_account_and_provider_and_tier_has_a_window_of_its_own(market: Market) -> None:
    market.node("c", slots=8, ask=DEAR, kind="cloud")
    executor = market.executor()
    orders = [*market.place(1, sla_required=True), *market.place(1, sla_required=True, tier="large")]
    with_latency(market, orders, executor, 400)  # late for large, not for medium
    observe(market)
    assert sorted(w.tier for w in windows(market)) == ["large", "medium"]
    close(market)
    assert {w.tier: w.credit_ppm for w in windows(market)} == {"large": FIRST_STEP, "medium": 0}


def test_of_a_charge_that_was_reversed_meanwhile_no_share_is_owed(market: Market) -> None:
    first, _ = serve(market, 2, BAD_MS)
    observe(market)
    earn(market, EARNED)
    with market.app.uow() as uow:
        charge = next(t for t in uow.ledger.transfers_of_order(first.id) if t.kind is TransferKind.CHARGE)
    corrections.reverse(market.app.uow(), utc_now(), ADMIN, charge.id, "wrong")
    close(market)
    [window] = windows(market)
    assert (window.charged_nano, window.credit_nano) == (EARNED, -(-EARNED * FIRST_STEP // 1_000_000))


def test_what_a_dispute_withholds_is_not_paid_out_by_a_window(market: Market) -> None:
    serve(market, 1, BAD_MS)
    other = market.place(1)
    with_latency(market, other, market.executor(), GOOD_MS)
    dispute = disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, other[0].id, "all zeros")
    observe(market)
    assert provider_has(market) == (0, 2 * EARNED)
    close(market)
    assert provider_has(market)[1] == EARNED
    disputes.reject(market.app.uow(), utc_now(), ADMIN, dispute.id, "it ran")
    assert provider_has(market)[1] == 0


def test_any_number_of_orders_takes_the_same_number_of_statements(market: Market) -> None:
    counts = []
    for many in (2, 12):
        serve(market, many, BAD_MS)
        with Statements(market.app.engine) as observing:
            observe(market)
        with Statements(market.app.engine) as closing:
            close(market)
        counts.append((observing.count, closing.count))
    assert counts[0] == counts[1]
    assert counts[0][0] <= 13
    assert counts[0][1] <= 11


TAMPERING = [
    "UPDATE sla_windows SET withheld_nano = withheld_nano + 1 WHERE state = '{state}'",
    "UPDATE sla_windows SET credit_nano = credit_nano - 1 WHERE state = 'closed'",
    "UPDATE sla_shares SET withheld_nano = withheld_nano - 1",
    "DELETE FROM sla_shares",
    "UPDATE sla_windows SET state = 'closed', closed_at = now() WHERE state = 'open'",
    "UPDATE sla_windows SET state = 'open', closed_at = NULL, account_id = provider_id WHERE state = 'closed'",
]


def test_the_audit_finds_windows_that_were_changed_by_hand(market: Market, subtests: pytest.Subtests) -> None:
    serve(market, 2, BAD_MS)
    observe(market)
    close(market)
    serve(market, 2, BAD_MS)
    observe(market)
    for statement in [line.format(state=state) for line in TAMPERING for state in ("open", "closed")]:
        with subtests.test(statement), market.app.uow() as uow:
            assert uow.connection.execute(text(statement)).rowcount > 0
            for report in (audit.examine(uow), audit.examine(uow, account=market.provider.account_id)):
                assert {d.what for d in report.differences} == {"sla settled"}
                assert all(audit.meaning(difference) for difference in report.differences)


def test_the_audit_finds_withheld_money_that_does_not_cover_what_waits(market: Market) -> None:
    serve(market)
    observe(market)
    with market.app.uow() as uow:
        less = "UPDATE ledger_accounts SET posted_nano = posted_nano - 1 WHERE kind = 'withheld' AND posted_nano > 0"
        assert uow.connection.execute(text(less)).rowcount == 1
        found = {(d.what, d.recorded_nano - d.computed_nano) for d in audit.examine(uow).differences}
    assert ("sla settled", -1) in found


def test_windows_are_shown_to_both_sides_and_to_admins_only(market: Market) -> None:
    serve(market)
    observe(market)
    [window] = windows(market)
    uow, stranger = market.app.uow, market.account("stranger")
    for principal in (market.buyer, market.provider, Principal(None, stranger.account_id, Role.ADMIN)):
        assert sla.show_window(uow(), window.id, principal) == window
    for principal, asked in ((stranger, window.id), (market.buyer, SlaWindowId(new_id()))):
        with pytest.raises(NotFound):
            sla.show_window(uow(), asked, principal)
    for account in (market.buyer.account_id, market.provider.account_id, None):
        assert sla.list_windows(uow(), account) == [window]
    assert sla.list_windows(uow(), stranger.account_id) == []
    assert sla.list_windows(uow(), None, "closed") == sla.list_windows(uow(), None, before=window.id) == []
    for bad in ({"limit": 0}, {"limit": sla.LIST_MAX + 1}, {"state": "ajar"}):
        with pytest.raises(Invalid):
            sla.list_windows(uow(), None, **bad)
