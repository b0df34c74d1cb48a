"""Nodes: registered, listed and drained by the providers who own them."""

from uuid import UUID

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone, Provider, account_of
from backend.api.wire.nodes import NewNode, Node
from backend.api.wire.trust import Trust
from backend.domain.access import Role
from backend.domain.ids import NodeId
from backend.services import nodes, trust

router = APIRouter(prefix="/api/v1/nodes", tags=["nodes"])


@router.post("", status_code=201)
def register_node(body: NewNode, caller: Provider, market: Market, now: Now) -> Node:
    """Bring a machine to the market; it sells once it has an offer and an agent."""
    owner = account_of(caller, body.account)
    return Node.of(nodes.register_node(market.uow(), now, owner, body.spec(), caller))


@router.get("")
def list_nodes(caller: Provider, market: Market, now: Now) -> list[Node]:
    """The caller's machines; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    return [Node.of(node) for node in nodes.list_nodes(market.uow(), now, account)]


@router.post("/{node_id}/drain")
def drain_node(node_id: UUID, caller: Provider, market: Market, now: Now) -> Node:
    """Let a machine finish its leases and take no new ones."""
    return Node.of(nodes.drain_node(market.uow(), now, NodeId(node_id), caller))


@router.get("/{node_id}/trust")
def show_trust(node_id: UUID, caller: Anyone, market: Market, now: Now) -> Trust:
    """How far a machine is trusted; why, to its owner and admins only, who see its buyers as numbers."""
    return Trust.of(trust.show_trust(market.uow(), now, NodeId(node_id), caller))
