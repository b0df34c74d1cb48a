"""Sessions that were ordered and not taken up: nobody pays for what nobody uses."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Spender
from backend.domain.allowances import POOL_ID
from backend.domain.errors import SwarmexError, Unavailable
from backend.domain.ids import OrderId
from backend.domain.leases import WINDOW_S
from backend.domain.orders import CloseReason, OrderState
from backend.gateway.leases import opening
from backend.gateway.leases.opening import Opener, Ordering, Wanted, open_session
from backend.gateway.leases.pool_opening import open_pooled
from backend.gateway.leases.session import SessionKey
from backend.gateway.threads import Threads
from backend.services import orders, pools, sessions
from tests.integration.services.pooling import gateway_id
from tests.market import ASK, Market
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("books_in_order")


def settled(market: Market) -> None:
    """Give back what is held for sessions that have ended."""
    sessions.settle_windows(market.app.uow(), utc_now())
    assert market.wallet().reserved_nano == 0


def pools_settled(market: Market) -> None:
    """The same of shared leases, which cost nobody anything."""
    sessions.settle_windows(market.app.uow(), utc_now())
    assert [order.state for order in orders.list_orders(market.app.uow(), POOL_ID)] == [OrderState.SETTLED]


def wanted(market: Market) -> Wanted:
    """A session of the buyer's."""
    return Wanted(market.buyer, SessionKey(market.buyer.spender, "doubling", "medium"))


def asked_in_vain(
    market: Market,
    ask: Callable[[Opener], "asyncio.Task[object]"],
    meanwhile: Callable[["asyncio.Task[object]"], None] = lambda _: None,
    threads: Threads | None = None,
) -> BaseException:
    """Why a gateway got no lease; by then all that nobody waited for is given up."""
    threads = threads or Threads()

    async def run() -> BaseException:
        opener = Opener(market.app, threads)
        asked = ask(opener)
        await asyncio.to_thread(meanwhile, asked)
        [outcome] = await asyncio.gather(asked, return_exceptions=True)
        await opener.close()
        assert isinstance(outcome, BaseException)
        return outcome

    try:
        return asyncio.run(run())
    finally:
        threads.close()


def session_asked(market: Market) -> Callable[[Opener], "asyncio.Task[object]"]:
    """Ask for a session of the buyer's."""
    return lambda opener: asyncio.ensure_future(open_session(opener, wanted(market)))


def pooled_asked(opener: Opener) -> "asyncio.Task[object]":
    """Ask for a shared lease."""
    key = SessionKey(Spender(POOL_ID), "doubling", "small")
    return asyncio.ensure_future(open_pooled(opener, gateway_id(), key))


def test_a_gateway_that_waited_long_enough_gives_its_order_up(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.node("a")
    market.executor()
    monkeypatch.setattr(opening, "SESSION_WAIT_S", 0.1)
    error = asked_in_vain(market, session_asked(market))
    assert isinstance(error, Unavailable)
    assert error.code == "no_lease_in_time"
    settled(market)


def test_a_shared_lease_that_did_not_come_in_time_is_given_up(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.node("a")
    market.executor()
    monkeypatch.setattr(opening, "SESSION_WAIT_S", 0.1)
    error = asked_in_vain(market, pooled_asked)
    assert isinstance(error, Unavailable)
    assert error.code == "no_lease_in_time"
    pools_settled(market)


def test_an_order_that_is_cancelled_with_its_gateway_is_given_up(market: Market) -> None:
    market.node("a")
    market.executor()

    def cancel(asked: "asyncio.Task[object]") -> None:
        until(lambda: market.wallet().reserved_nano > 0, "the order holds its window")
        asked.get_loop().call_soon_threadsafe(asked.cancel)  # it is ordered, whether the answer has come or not

    assert isinstance(asked_in_vain(market, session_asked(market), cancel), asyncio.CancelledError)
    settled(market)


@pytest.mark.parametrize("shared", [False, True])
def test_an_order_that_a_slow_database_takes_after_its_caller_left_is_given_up(market: Market, *, shared: bool) -> None:
    market.node("a")
    market.executor()
    with market.app.engine.connect() as other:
        other.execute(text("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE"))  # nobody can place one

        def let_go_on(asked: "asyncio.Task[object]") -> None:
            until(asked.done, "the caller was told that the coordinator does not answer")
            assert market.wallet().reserved_nano == 0, "nothing is written yet"
            other.rollback()

        threads = Threads(timeout_s=0.3)  # what is waited for for five seconds otherwise
        error = asked_in_vain(market, pooled_asked if shared else session_asked(market), let_go_on, threads)
    assert isinstance(error, Unavailable)
    assert error.code == "coordinator_unreachable"
    placed = orders.list_orders(market.app.uow(), POOL_ID if shared else market.buyer.account_id)
    assert [order.state for order in placed] == [OrderState.CLOSING], "it was placed all the same, and given up"
    if shared:
        pools_settled(market)
    else:
        settled(market)


def test_an_order_whose_answer_was_lost_is_given_up_by_its_id(market: Market) -> None:
    market.node("a")
    market.executor()

    def place(order_id: OrderId) -> None:
        sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium", order_id=order_id)
        raise Unavailable("the database does not answer", code="coordinator_unreachable")

    ordering = Ordering(
        place,
        lambda order_id: sessions.progress(market.app.uow(), utc_now(), order_id),
        lambda order_id: sessions.abandon(market.app.uow(), utc_now(), order_id),
        "this session",
    )
    asked_in_vain(market, lambda opener: asyncio.ensure_future(opener.lease(ordering)))
    settled(market)


def test_nothing_is_given_up_of_what_was_refused(market: Market) -> None:
    given_up: list[OrderId] = []

    def give_up(order_id: OrderId) -> bool:
        given_up.append(order_id)
        return True

    ordering = Ordering(
        lambda order_id: sessions.open_session(
            market.app.uow(), utc_now(), market.buyer, "nobody", "medium", order_id=order_id
        ),
        lambda order_id: sessions.progress(market.app.uow(), utc_now(), order_id),
        give_up,
        "this session",
    )
    error = asked_in_vain(market, lambda opener: asyncio.ensure_future(opener.lease(ordering)))
    assert isinstance(error, SwarmexError)
    assert (error.code, given_up) == ("unknown_model", [])


def test_an_order_is_known_or_not_to_whoever_gives_it_up(market: Market) -> None:
    unknown = OrderId(new_id())
    assert not sessions.abandon(market.app.uow(), utc_now(), unknown)
    assert not pools.end_pool(market.app.uow(), utc_now(), unknown, CloseReason.SESSION_IDLE)


def test_a_lease_that_came_too_late_is_charged_until_it_is_given_up_only(market: Market) -> None:
    market.node("a")
    market.executor()
    before = market.wallet().wallet_nano
    order = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    granted = sessions.progress(market.app.uow(), utc_now(), order).lease
    assert granted is not None
    given_up = granted.granted_at + timedelta(seconds=2)
    for _ in range(2):
        sessions.abandon(market.app.uow(), given_up, order)
    settled(market)
    assert orders.show_order(market.app.uow(), order, market.buyer).state is OrderState.SETTLED
    assert 0 < before - market.wallet().wallet_nano <= 2 * granted.price_nano_per_slot_s < WINDOW_S * ASK
