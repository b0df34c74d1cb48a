"""Session leases: windows are prepaid, charged for what passed, and end."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Conflict, InsufficientFunds, Invalid, Unavailable
from backend.domain.leases import WINDOW_S, window_nano
from backend.domain.orders import CloseReason, OrderState
from backend.services import audit, nodes, orders, sessions, sweeper
from backend.storage.sessions import Session
from tests.integration.services.clock import in_seconds
from tests.market import ASK, Market


def opened(market: Market) -> Session:
    """A granted session on a node that costs ASK."""
    market.node("a")
    market.executor()
    order_id = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    session = sessions.progress(market.app.uow(), utc_now(), order_id).session
    assert session is not None
    return session


def test_a_session_gets_a_lease_with_a_prepaid_window_and_the_nodes_endpoint(market: Market) -> None:
    session = opened(market)
    assert (session.state, session.price_nano_per_slot_s, session.endpoint) == ("active", ASK, "http://127.0.0.1:1")
    assert session.window_ends_at == session.granted_at + timedelta(seconds=WINDOW_S)
    assert market.wallet().reserved_nano == window_nano(2 * ASK, 1)


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
    assert market.wallet().reserved_nano == window_nano(2 * ASK, 1) + window_nano(ASK, 1)


def test_windows_are_settled_by_the_clock_and_a_lease_that_nobody_renews_ends(market: Market) -> None:
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


def test_a_renewal_without_funds_is_refused_and_changes_nothing(market: Market) -> None:
    market.node("a")
    market.executor()
    poor = market.account("poor", window_nano(2 * ASK, 1) + 1)
    order_id = sessions.open_session(market.app.uow(), utc_now(), poor, "doubling", "medium")
    market.clear()
    session = sessions.progress(market.app.uow(), utc_now(), order_id).session
    assert session is not None
    with pytest.raises(InsufficientFunds):
        sessions.renew(market.app.uow(), utc_now(), session.lease_id)
    assert sessions.states(market.app.uow(), [session.lease_id]) == {session.lease_id: "active"}


def test_a_session_that_nobody_serves_tells_why(market: Market) -> None:
    market.node("a")
    market.executor()
    market.place()
    order_id = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    waiting = sessions.progress(market.app.uow(), utc_now(), order_id)
    if waiting.session is None:  # the order and the session bid alike; the tie goes to whoever came first
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
