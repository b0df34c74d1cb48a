"""The audit log: read by admins, written by what it tells of, changed by nobody."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market
from backend.api.security import Admin
from backend.api.wire.base import Text
from backend.api.wire.log import EntryList
from backend.domain.ids import AccountId, LogId
from backend.services import log

router = APIRouter(prefix="/api/v1/audit-log", tags=["audit log"])


@router.get("")
def list_entries(
    _: Admin,
    market: Market,
    actor: UUID | None = None,
    subject: Text | None = None,
    action: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=log.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> EntryList:
    """Who did what, newest first: of one actor, to one subject (`payout` is all of them), one action (or `payout.`)."""
    who, following = AccountId(actor) if actor else None, LogId(before) if before else None
    return EntryList.of(log.list_entries(market.uow(), who, subject, action, limit, following), limit)
