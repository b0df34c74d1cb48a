"""Sessions that were ordered and not taken up: nobody pays for what nobody uses."""

import asyncio
from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Spender
from backend.domain.allowances import POOL_ID
from backend.domain.errors import Unavailable
from backend.domain.leases import WINDOW_S
from backend.domain.orders import OrderState
from backend.gateway.leases import opening, pool_opening
from backend.gateway.leases.opening import Bell, Wanted
from backend.gateway.leases.session import SessionKey
from backend.gateway.threads import Threads
from backend.services import orders, sessions
from tests.integration.services.pooling import gateway_id
from tests.market import ASK, Market
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("books_in_order")


def settled(market: Market) -> None:
    """Give back what is held for sessions that have ended."""
    sessions.settle_windows(market.app.uow(), utc_now())
    assert market.wallet().reserved_nano == 0


def wait_in_vain(market: Market, patience_s: float | None) -> BaseException:
    """Why a gateway got no session from a market that is never cleared; without patience it was cancelled."""

    async def ask() -> BaseException:
        threads = Threads()
        wanted = Wanted(market.buyer, SessionKey(market.buyer.spender, "doubling", "medium"))
        asked = asyncio.create_task(opening.open_session(market.app, threads, Bell(), wanted))
        try:
            if patience_s is None:
                await asyncio.to_thread(until, lambda: market.wallet().reserved_nano > 0, "the order holds its window")
                asked.cancel()  # now that it is ordered, whether the answer has come or not
            [outcome] = await asyncio.gather(asked, return_exceptions=True)
            assert isinstance(outcome, BaseException)
            return outcome
        finally:
            threads.close()

    return asyncio.run(ask())


def test_a_gateway_that_waited_long_enough_gives_its_order_up(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.node("a")
    market.executor()
    monkeypatch.setattr(opening, "SESSION_WAIT_S", 0.1)
    error = wait_in_vain(market, 0.1)
    assert isinstance(error, Unavailable)
    assert error.code == "no_lease_in_time"
    settled(market)


def test_a_shared_lease_that_did_not_come_in_time_is_given_up(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.node("a")
    market.executor()
    monkeypatch.setattr(pool_opening, "SESSION_WAIT_S", 0.1)

    async def ask() -> None:
        threads = Threads()
        key = SessionKey(Spender(POOL_ID), "doubling", "small")
        try:
            await pool_opening.open_pooled(market.app, threads, Bell(), gateway_id(), key)
        finally:
            threads.close()

    with pytest.raises(Unavailable, match="in time"):
        asyncio.run(ask())
    sessions.settle_windows(market.app.uow(), utc_now())
    assert [order.state for order in orders.list_orders(market.app.uow(), POOL_ID)] == [OrderState.SETTLED]


def test_an_order_that_is_cancelled_with_its_gateway_is_given_up(market: Market) -> None:
    market.node("a")
    market.executor()
    assert isinstance(wait_in_vain(market, None), asyncio.CancelledError)
    settled(market)


def test_a_lease_that_came_too_late_is_charged_until_it_is_given_up_only(market: Market) -> None:
    market.node("a")
    market.executor()
    before = market.wallet().wallet_nano
    order = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    granted = sessions.progress(market.app.uow(), utc_now(), order).session
    assert granted is not None
    given_up = granted.granted_at + timedelta(seconds=2)
    for _ in range(2):
        sessions.abandon(market.app.uow(), given_up, order)
    settled(market)
    assert orders.show_order(market.app.uow(), order, market.buyer).state is OrderState.SETTLED
    assert 0 < before - market.wallet().wallet_nano <= 2 * granted.price_nano_per_slot_s < WINDOW_S * ASK
