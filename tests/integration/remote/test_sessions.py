"""Nodes that nobody can dial take no sessions: a gateway would wait for them in vain."""

from backend.bootstrap import utc_now
from backend.domain.orders import CloseReason
from backend.services import sessions
from tests.integration.remote.nodes import Remote


def test_a_session_is_not_given_to_a_remote_node(remote: Remote) -> None:
    market = remote.market
    remote.join(ask=1_000)
    order = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    assert sessions.progress(market.app.uow(), utc_now(), order).session is None
    with market.app.uow() as uow:
        found = uow.orders.find(order)
    assert found is not None
    assert found.reason == CloseReason.NEEDS_UNMET


def test_beside_a_remote_node_a_session_gets_the_one_that_can_be_dialled(remote: Remote) -> None:
    market = remote.market
    remote.join(ask=1_000)
    dialled = market.node("rack", ask=1_000)
    market.executor()
    order = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    found = sessions.progress(market.app.uow(), utc_now(), order).session
    assert found is not None
    assert (found.node_id, found.endpoint) == (dialled.id, "http://127.0.0.1:1")


def test_other_work_still_takes_the_cheaper_remote_node(remote: Remote) -> None:
    market = remote.market
    node = remote.join(ask=1_000)
    market.node("rack", ask=1_000)
    market.executor()
    market.place()
    market.clear()
    assert len(node.claim()) == 1
