"""Epochs: what each clearing published, and its proof."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market
from backend.api.security import Admin, Anyone
from backend.api.wire.epochs import Epoch, Replay
from backend.domain.ids import EpochId
from backend.services import epochs

router = APIRouter(prefix="/api/v1/epochs", tags=["prices"])


@router.get("")
def list_epochs(_: Anyone, market: Market, limit: Annotated[int, Query(ge=1, le=epochs.LIST_MAX)] = 100) -> list[Epoch]:
    """The newest clearings of all markets: prices and digests, nobody's limits or asks."""
    return [Epoch.of(epoch) for epoch in epochs.list_epochs(market.uow(), limit)]


@router.get("/{epoch_id}/replay")
def replay_epoch(epoch_id: UUID, caller: Admin, market: Market) -> Replay:
    """Compute a clearing again from its book, which must be what was published, and compare its trades."""
    return Replay.of(epochs.replay(market.uow(), caller, EpochId(epoch_id)))
