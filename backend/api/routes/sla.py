"""SLAs: what was measured of promised service, and what was paid for promises that were not kept."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market
from backend.api.security import Anyone
from backend.api.wire.base import Text
from backend.api.wire.sla import SlaWindow, SlaWindowList
from backend.domain.access import Role
from backend.domain.ids import SlaWindowId
from backend.services import sla

router = APIRouter(prefix="/api/v1/sla", tags=["sla"])


@router.get("")
def list_windows(
    caller: Anyone,
    market: Market,
    state: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=sla.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> SlaWindowList:
    """Windows of what the caller bought or served, newest first; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    found = sla.list_windows(market.uow(), account, state, limit, SlaWindowId(before) if before else None)
    following = found[-1].id if len(found) == limit else None
    return SlaWindowList(windows=[SlaWindow.of(window) for window in found], next_before=following)


@router.get("/{window_id}")
def show_window(window_id: UUID, caller: Anyone, market: Market) -> SlaWindow:
    """One window."""
    return SlaWindow.of(sla.show_window(market.uow(), SlaWindowId(window_id), caller))
