"""How machines of other people join: tokens for providers, and the one route that a token opens."""

from uuid import UUID

from fastapi import APIRouter, Request

from backend.api.dependencies import Market, Now
from backend.api.node_side import Side
from backend.api.security import Provider, account_of
from backend.api.wire.joining import (
    CreatedJoinToken,
    JoinedNode,
    JoinRequest,
    JoinToken,
    NewJoinToken,
    NewNodeToken,
    RevokedKeys,
)
from backend.domain.access import Role
from backend.domain.errors import Unauthenticated
from backend.domain.ids import NodeId
from backend.services import joining

router = APIRouter(prefix="/api/v1/nodes", tags=["nodes"])


@router.post("/join-tokens", status_code=201)
def create_join_token(body: NewJoinToken, caller: Provider, market: Market, now: Now) -> CreatedJoinToken:
    """A token with which one machine may join, once; its secret is in this answer and nowhere else."""
    owner = account_of(caller, body.account)
    return CreatedJoinToken.made(joining.create_token(market.uow(), now, owner, body.wish(), caller))


@router.post("/{node_id}/join-tokens", status_code=201)
def create_join_token_for(
    node_id: UUID, body: NewNodeToken, caller: Provider, market: Market, now: Now
) -> CreatedJoinToken:
    """A token with which a machine may go on as a remote node whose key was lost or revoked."""
    made = joining.create_token_for(market.uow(), now, NodeId(node_id), body.life, caller)
    return CreatedJoinToken.made(made)


@router.get("/join-tokens")
def list_join_tokens(caller: Provider, market: Market, now: Now) -> list[JoinToken]:
    """The caller's tokens that can still be used; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    return [JoinToken.of(token) for token in joining.list_tokens(market.uow(), now, account)]


@router.delete("/join-tokens/{token_id}", status_code=204)
def revoke_join_token(token_id: UUID, caller: Provider, market: Market, now: Now) -> None:
    """Let a token that nobody used yet open nothing any more."""
    joining.revoke_token(market.uow(), now, token_id, caller)


@router.post("/join", status_code=201)
def join(body: JoinRequest, request: Request, side: Side, market: Market, now: Now) -> JoinedNode:
    """Become a node with a token; no key is asked for. The node's own key is in this answer and nowhere else."""
    address = request.client.host if request.client else ""
    side.refusals.check(address)
    try:
        return JoinedNode.of(joining.join(market.uow(), now, body.token, body.machine()))
    except Unauthenticated:
        side.refusals.refused(address)
        raise


@router.delete("/{node_id}/keys")
def revoke_node_keys(node_id: UUID, caller: Provider, market: Market, now: Now) -> RevokedKeys:
    """End every key of a remote node; within half a second they open nothing any more."""
    return RevokedKeys(revoked=joining.revoke_node_keys(market.uow(), now, NodeId(node_id), caller))
