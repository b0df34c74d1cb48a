"""Keys that private orders are sealed to: found by users, shown by nodes."""

from typing import Annotated

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.node_side import RemoteNode
from backend.api.security import Anyone
from backend.api.wire.base import Text
from backend.api.wire.sealing_keys import KeyStanding, SealingKeys, ShownKey
from backend.domain.ids import AgentId
from backend.services import sealing_keys

router = APIRouter()


@router.get("/api/v1/sealing-keys", tags=["orders"])
def list_sealing_keys(
    model: Text,
    _: Anyone,
    market: Market,
    now: Now,
    model_version: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    tier: Text | None = None,
    region: Text | None = None,
) -> SealingKeys:
    """Verified keys of nodes that could serve a private order for a model now."""
    return SealingKeys.of(sealing_keys.serving(market.uow(), now, model, model_version, tier, region))


@router.post("/api/v1/node/work/sealing-key", tags=["remote nodes"])
def show_sealing_key(body: ShownKey, node: RemoteNode, market: Market, now: Now) -> KeyStanding:
    """Show the key that private orders may be sealed to, and prove it by what its challenge says."""
    shown = sealing_keys.show(market.uow(), now, node, AgentId(body.agent), body.public_key, body.answer)
    return KeyStanding.of(shown)
