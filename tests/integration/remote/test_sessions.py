"""Sessions are leased on nodes that nobody can dial as on any other."""

from backend.bootstrap import utc_now
from backend.domain.joining import POLLED
from backend.domain.leases import Progress
from backend.services import sessions
from backend.storage.sessions import Session
from tests.integration.remote.nodes import Remote
from tests.market import Market


def leased(market: Market) -> Progress[Session]:
    """What becomes of an order for a session."""
    order = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    market.clear()
    return sessions.progress(market.app.uow(), utc_now(), order)


def test_a_session_on_a_remote_node_is_reached_by_its_mailbox(remote: Remote) -> None:
    node = remote.join(ask=1_000)
    found = leased(remote.market).lease
    assert found is not None
    assert (found.node_id, found.endpoint) == (node.id, f"{POLLED}{node.id}")


def test_a_session_on_a_node_that_can_be_dialled_is_reached_there(remote: Remote) -> None:
    market = remote.market
    dialled = market.node("rack", ask=1_000)
    market.executor()
    found = leased(market).lease
    assert found is not None
    assert (found.node_id, found.endpoint) == (dialled.id, "http://127.0.0.1:1")


def test_a_remote_node_whose_agent_has_gone_cannot_be_reached(remote: Remote) -> None:
    node = remote.join(ask=1_000)
    order = sessions.open_session(remote.market.app.uow(), utc_now(), remote.market.buyer, "doubling", "medium")
    remote.market.clear()
    node.port.stopped(node.agent_id)
    found = sessions.progress(remote.market.app.uow(), utc_now(), order).lease
    assert found is not None
    assert found.endpoint is None


def test_other_work_still_takes_the_cheaper_remote_node(remote: Remote) -> None:
    market = remote.market
    node = remote.join(ask=1_000)
    market.node("rack", ask=1_000)
    market.executor()
    market.place()
    market.clear()
    assert len(node.claim()) == 1
