"""Several callers at once, on real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import BudgetExceeded, Conflict, InsufficientFunds, Unavailable
from backend.domain.idempotency import Idempotency
from backend.domain.leases import window_nano
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import CloseReason
from backend.services import accounts, allocation, audit, deposits, nodes, orders, sessions, settlement, sweeper
from backend.storage.contention import RETRIES
from tests.integration.services.clock import in_seconds
from tests.market import Market


def test_twenty_requests_with_one_idempotency_key_have_one_effect_and_one_answer(market: Market) -> None:
    market.node("a")
    market.executor()
    idempotency = Idempotency("key", b"digest")

    def place(_: int) -> orders.PlacedWorkload:
        return orders.place_workload(market.app.uow(), utc_now(), market.buyer, market.request(), idempotency)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(place, range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert len(orders.list_orders(market.app.uow(), market.buyer.account_id)) == 1
    with pytest.raises(Conflict) as refused:
        orders.place_workload(
            market.app.uow(), utc_now(), market.buyer, market.request(), Idempotency("key", b"another")
        )
    assert refused.value.code == "idempotency_key_reused"


def test_sixteen_spenders_of_one_wallet_never_spend_more_than_it_has(market: Market) -> None:
    market.node("a", ask=10 * NANO_PER_CREDIT)
    market.executor()
    worst = orders.quote(market.app.uow(), utc_now(), market.request()).worst_case_nano
    spender = market.account("spender", 5 * worst)

    def place(_: int) -> bool:
        try:
            orders.place_workload(market.app.uow(), utc_now(), spender, market.request())
        except InsufficientFunds:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(place, range(32))) == 5
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_payment_booked_by_many_at_once_is_booked_once(market: Market) -> None:
    account = market.account("payer").account_id

    def book(_: int) -> bool:
        return deposits.deposit(market.app.uow(), utc_now(), account, 7, "payment 1").repeated

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(book, range(8))) == [False] + [True] * 7
    with pytest.raises(Conflict) as refused:
        deposits.deposit(market.app.uow(), utc_now(), account, 8, "payment 1")
    assert refused.value.code == "reference_reused"


def test_two_allocators_and_two_settlers_sell_and_settle_everything_once(market: Market) -> None:
    for index in range(4):
        market.node(f"n{index}", slots=5)
    executor = market.executor()
    placed = market.place(60)
    for _ in range(6):
        executor.beat()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: allocation.clear_markets(market.app.uow, utc_now()), range(2)))
        busy = sum(node.busy_slots for node in nodes.list_nodes(market.app.uow(), utc_now(), None))
        assert busy <= 20
        executor.commit(executor.claim(market.dispatched()), busy_us=7)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: settlement.settle_finished(market.app.uow(), utc_now()), range(2)))
    assert {market.show(order).state for order in placed} == {"settled"}
    assert sum(market.show(order).charged_nano for order in placed) == audit_charges(market)
    assert audit.audit_ledger(market.app.uow()).ok


def audit_charges(market: Market) -> int:
    """What has left the buyer's wallet."""
    return 1_000 * NANO_PER_CREDIT - market.wallet().wallet_nano


@pytest.mark.slow
def test_sixteen_threads_of_every_kind_of_spending_on_one_wallet_neither_overspend_nor_deadlock(market: Market) -> None:
    market.node("a", slots=8, ask=10 * NANO_PER_CREDIT)
    executor = market.executor()
    worst = orders.quote(market.app.uow(), utc_now(), market.request()).worst_case_nano
    spender = market.account("spender", 40 * worst + 3 * window_nano(20 * NANO_PER_CREDIT, 1))
    retried = RETRIES.total()
    new, account = market.app.uow, spender.account_id

    def place(number: int) -> None:
        orders.place_workload(new(), utc_now(), spender, market.request(deadline_s=number))

    def place_many(_: int) -> None:
        orders.place_orders(new(), utc_now(), spender, [market.request()] * 3)

    def session(_: int) -> None:
        order = sessions.open_session(new(), utc_now(), spender, "doubling", "medium")
        market.clear()
        granted = sessions.progress(new(), utc_now(), order).lease
        if granted:
            sessions.renew(new(), utc_now(), granted.lease_id)
            sessions.end(new(), utc_now(), granted.lease_id, CloseReason.SESSION_IDLE)

    def cancel(_: int) -> None:
        for order in orders.list_orders(new(), account, "open", 2):
            orders.cancel_order(new(), utc_now(), order.id, spender)

    def work(_: int) -> None:
        executor.beat()
        market.clear()
        executor.commit(executor.claim(market.dispatched()))
        settlement.settle_finished(new(), utc_now())
        sessions.settle_windows(new(), utc_now())

    def pay_in(number: int) -> None:
        deposits.deposit(new(), utc_now(), account, worst, f"payment {number}")

    kinds = (place, place_many, session, cancel, work, pay_in, place, work)

    def act(number: int) -> None:
        with suppress(InsufficientFunds, BudgetExceeded, Conflict, Unavailable):
            kinds[number % len(kinds)](number)
        assert accounts.show_account(new(), account).available_nano >= 0

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(act, range(160)))
    assert RETRIES.total() == retried
    for order in orders.list_orders(new(), account, None, 500):
        if order.state in ("open", "running") and order.workload != "session":
            orders.cancel_order(new(), utc_now(), order.id, spender)
    sweeper.sweep(new(), in_seconds(3_600))  # sessions that nobody granted
    sessions.settle_windows(new(), in_seconds(3_600))
    settlement.settle_finished(new(), utc_now())
    view = accounts.show_account(new(), account)
    assert view.reserved_nano == 0
    assert audit.audit_ledger(new()).ok
