"""Session leases: windows are prepaid, charged for what passed, and end."""

import random
from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal
from backend.domain.errors import Conflict, InsufficientFunds, Invalid, Unavailable
from backend.domain.leases import PAUSE_GRACE_S, WINDOW_S, window_nano
from backend.domain.orders import CloseReason, OrderState
from backend.services import audit, deposits, nodes, orders, sessions, sweeper
from backend.storage.sessions import Session
from tests.integration.services.clock import in_seconds
from tests.market import ASK, Market


def opened(market: Market) -> Session:
    """A granted session on a node that costs ASK."""
    market.node("a")
    return reopened(market)


def reopened(market: Market) -> Session:
    """Another one on the same node."""
    market.executor()
    order_id = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    session = sessions.progress(market.app.uow(), utc_now(), order_id).lease
    assert session is not None
    return session


def test_a_session_gets_a_lease_with_a_prepaid_window_and_the_nodes_endpoint(market: Market) -> None:
    session = opened(market)
    assert (session.state, session.price_nano_per_slot_s, session.endpoint) == ("active", ASK, "http://127.0.0.1:1")
    assert session.window_ends_at == session.granted_at + timedelta(seconds=WINDOW_S)
    assert market.wallet().reserved_nano == window_nano(ASK, 1)  # lowered from the limit, twice the spot price


def test_an_ended_session_pays_for_the_time_that_passed(market: Market) -> None:
    session = opened(market)
    sessions.end(
        market.app.uow(), session.granted_at + timedelta(seconds=2), session.lease_id, CloseReason.SESSION_IDLE
    )
    sessions.settle_windows(market.app.uow(), utc_now())
    order = orders.show_order(market.app.uow(), session.order_id, market.buyer)
    assert (order.state, order.reason, order.charged_nano) == (OrderState.SETTLED, CloseReason.SESSION_IDLE, 2 * ASK)
    assert market.wallet().reserved_nano == 0
    assert [n.busy_slots for n in nodes.list_nodes(market.app.uow(), utc_now(), None)] == [0]
    assert audit.audit_ledger(market.app.uow()).ok


def test_ending_twice_is_ending_once(market: Market) -> None:
    session = opened(market)
    for seconds in (2, 9):
        sessions.end(
            market.app.uow(),
            session.granted_at + timedelta(seconds=seconds),
            session.lease_id,
            CloseReason.SESSION_IDLE,
        )
    sessions.settle_windows(market.app.uow(), utc_now())
    assert sessions.settle_windows(market.app.uow(), in_seconds(100)) == 0
    assert orders.show_order(market.app.uow(), session.order_id, market.buyer).charged_nano == 2 * ASK


def test_renewing_twice_prepays_one_window(market: Market) -> None:
    session = opened(market)
    half = session.granted_at + timedelta(seconds=WINDOW_S / 2)
    first = sessions.renew(market.app.uow(), half, session.lease_id)
    assert sessions.renew(market.app.uow(), half, session.lease_id) == first
    assert first == session.window_ends_at + timedelta(seconds=WINDOW_S)
    assert market.wallet().reserved_nano == 2 * window_nano(ASK, 1)


def test_trap_settling_only_when_somebody_touches_the_account_leases_ran_for_free(market: Market) -> None:
    session = opened(market)
    sessions.renew(market.app.uow(), session.granted_at + timedelta(seconds=16), session.lease_id)
    sessions.settle_windows(market.app.uow(), session.granted_at + timedelta(seconds=31))
    order = orders.show_order(market.app.uow(), session.order_id, market.buyer)
    assert (order.state, order.charged_nano) == (OrderState.RUNNING, window_nano(ASK, 1))
    sessions.settle_windows(market.app.uow(), session.granted_at + timedelta(seconds=61))
    order = orders.show_order(market.app.uow(), session.order_id, market.buyer)
    assert (order.state, order.reason) == (OrderState.SETTLED, CloseReason.WINDOW_ENDED)
    assert order.charged_nano == 2 * window_nano(ASK, 1)
    with pytest.raises(Conflict):
        sessions.renew(market.app.uow(), session.granted_at + timedelta(seconds=62), session.lease_id)


def test_a_session_whose_node_dies_ends_and_pays_until_then(market: Market) -> None:
    session = opened(market)
    assert sweeper.sweep(market.app.uow(), session.granted_at + timedelta(seconds=4)).ended_sessions == 1
    sessions.settle_windows(market.app.uow(), utc_now())
    order = orders.show_order(market.app.uow(), session.order_id, market.buyer)
    assert (order.reason, order.charged_nano) == (CloseReason.NODE_LOST, 4 * ASK)
    assert sessions.states(market.app.uow(), [session.lease_id]) == {session.lease_id: "ended"}


def poor_session(market: Market) -> tuple[Session, Principal]:
    """A session of somebody whose money is just enough for the first window."""
    market.node("a")
    market.executor()
    poor = market.account("poor", window_nano(2 * ASK, 1))
    order_id = sessions.open_session(market.app.uow(), utc_now(), poor, "doubling", "medium")
    market.clear()
    session = sessions.progress(market.app.uow(), utc_now(), order_id).lease
    assert session is not None
    orders.place_workload(market.app.uow(), utc_now(), poor, market.request(limit_nano_per_slot_s=10**11))
    return session, poor


def test_a_lease_that_nobody_pays_on_is_paused_and_ends_after_the_grace_for_want_of_funds(market: Market) -> None:
    session, poor = poor_session(market)
    at = session.granted_at
    for seconds in (20, 29, WINDOW_S + 1):
        with pytest.raises(InsufficientFunds):
            sessions.renew(market.app.uow(), at + timedelta(seconds=seconds), session.lease_id)
    sessions.settle_windows(market.app.uow(), at + timedelta(seconds=WINDOW_S + 1))
    order = orders.show_order(market.app.uow(), session.order_id, poor)
    assert (order.state, order.charged_nano) == (OrderState.RUNNING, window_nano(ASK, 1))
    assert sessions.settle_windows(market.app.uow(), at + timedelta(seconds=WINDOW_S + PAUSE_GRACE_S - 1)) == 0
    over = at + timedelta(seconds=WINDOW_S + PAUSE_GRACE_S)
    with pytest.raises(Conflict):
        sessions.renew(market.app.uow(), over, session.lease_id)
    assert sessions.settle_windows(market.app.uow(), over) == 1
    order = orders.show_order(market.app.uow(), session.order_id, poor)
    assert (order.state, order.reason) == (OrderState.SETTLED, CloseReason.INSUFFICIENT_FUNDS)
    assert order.charged_nano == window_nano(ASK, 1)
    assert [n.busy_slots for n in nodes.list_nodes(market.app.uow(), utc_now(), None)] == [0]
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_paused_lease_goes_on_from_the_moment_when_money_comes_and_the_pause_is_free(market: Market) -> None:
    session, poor = poor_session(market)
    at = session.granted_at
    with pytest.raises(InsufficientFunds):
        sessions.renew(market.app.uow(), at + timedelta(seconds=20), session.lease_id)
    paid_at = at + timedelta(seconds=WINDOW_S + 5)
    sessions.settle_windows(market.app.uow(), paid_at)
    deposits.deposit(market.app.uow(), paid_at, poor.account_id, window_nano(ASK, 1), "more")
    assert sessions.renew(market.app.uow(), paid_at, session.lease_id) == paid_at + timedelta(seconds=WINDOW_S)
    sessions.settle_windows(market.app.uow(), paid_at + timedelta(seconds=WINDOW_S))
    order = orders.show_order(market.app.uow(), session.order_id, poor)
    assert (order.state, order.charged_nano) == (OrderState.SETTLED, 2 * window_nano(ASK, 1))
    assert order.reason is CloseReason.WINDOW_ENDED
    assert audit.audit_ledger(market.app.uow()).ok


def test_what_the_sessions_of_an_account_burn_is_known(market: Market) -> None:
    session = opened(market)
    with market.app.uow() as uow:
        asked = (market.buyer.account_id, market.provider.account_id)
        assert uow.sessions.burn_nano_per_s(asked) == {market.buyer.account_id: ASK}
    sessions.end(market.app.uow(), utc_now(), session.lease_id, CloseReason.SESSION_IDLE)
    with market.app.uow() as uow:
        assert uow.sessions.burn_nano_per_s(asked) == {}


def test_a_session_that_nobody_serves_tells_why(market: Market) -> None:
    market.node("a")
    market.executor()
    market.place()
    order_id = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    waiting = sessions.progress(market.app.uow(), utc_now(), order_id)
    if waiting.lease is None:  # the order and the session bid alike; the tie goes to whoever came first
        assert waiting.refused is None
        sweeper.sweep(market.app.uow(), in_seconds(2.5))
        sessions.settle_windows(market.app.uow(), utc_now())
        assert sessions.progress(market.app.uow(), utc_now(), order_id).refused is CloseReason.OUTBID
        assert market.wallet().reserved_nano > 0
    with pytest.raises(Unavailable):
        sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")


def test_tier_small_has_no_session(market: Market) -> None:
    with pytest.raises(Invalid) as refused:
        sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "small")
    assert refused.value.code == "tier_not_offered"


@pytest.mark.parametrize("seed", range(4))
def test_settling_often_charges_what_settling_once_at_the_end_does(market: Market, seed: int) -> None:
    """settle(t1); settle(t2) is settle(t2): by the clock and on events alike."""
    charged = []
    for often in (True, False):
        dice = random.Random(seed)
        session = opened(market) if often else reopened(market)
        at = session.granted_at
        second = 0.0
        for _ in range(dice.randint(1, 4)):
            second += dice.uniform(15.1, 29.9)
            sessions.renew(market.app.uow(), at + timedelta(seconds=second), session.lease_id)
            if often:
                sessions.settle_windows(market.app.uow(), at + timedelta(seconds=second))
                sessions.settle_windows(market.app.uow(), at + timedelta(seconds=second))
        ended = at + timedelta(seconds=second + dice.uniform(0, 15))
        sessions.end(market.app.uow(), ended, session.lease_id, CloseReason.SESSION_IDLE)
        sessions.settle_windows(market.app.uow(), ended + timedelta(seconds=200))
        order = orders.show_order(market.app.uow(), session.order_id, market.buyer)
        assert order.state is OrderState.SETTLED
        charged.append((order.charged_nano, ended - at))
    assert charged[0] == charged[1]
    assert charged[0][0] >= charged[0][1].total_seconds() * ASK
    assert audit.audit_ledger(market.app.uow()).ok
