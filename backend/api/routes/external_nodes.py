"""Nodes that are an inference server of somebody else's (Triton, KServe), registered by its URL."""

from uuid import UUID

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Provider, account_of
from backend.api.wire.external_nodes import NewServer, Server, ServerCheck
from backend.domain.access import Role
from backend.domain.ids import NodeId
from backend.services import external_nodes

router = APIRouter(prefix="/api/v1/nodes/external", tags=["nodes"])


@router.post("", status_code=201)
def add_server(body: NewServer, caller: Provider, market: Market, now: Now) -> Server:
    """Let a server stand for a node. Providers name https servers at public addresses, admins any."""
    owner = account_of(caller, body.account)
    return Server.of(
        external_nodes.add_server(market.uow(), now, owner, body.spec(), body.url, body.credential, body.ask, caller)
    )


@router.get("")
def list_servers(caller: Provider, market: Market, now: Now) -> list[Server]:
    """The caller's servers; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    return [Server.of(found) for found in external_nodes.list_servers(market.uow(), now, account)]


@router.post("/{node_id}/check")
def check_server(node_id: UUID, caller: Provider, market: Market, now: Now) -> ServerCheck:
    """Ask a server now whether it is ready, and which of the registered models it serves; nothing changes."""
    return ServerCheck.of(external_nodes.check_server(market.uow(), now, NodeId(node_id), caller))


@router.delete("/{node_id}", status_code=204)
def remove_server(node_id: UUID, caller: Provider, market: Market, now: Now) -> None:
    """Let a node be a server no more; what it has runs elsewhere, its URL and credential are forgotten."""
    external_nodes.remove_server(market.uow(), now, NodeId(node_id), caller)
