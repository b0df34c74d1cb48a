"""Disputes: opened by buyers, resolved by admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Admin, Anyone
from backend.api.wire.base import Text
from backend.api.wire.disputes import Dispute, DisputeList, DisputeRequest, Rejection, Upholding
from backend.domain.access import Role
from backend.domain.ids import DisputeId, OrderId
from backend.services import disputes

router = APIRouter(prefix="/api/v1/disputes", tags=["disputes"])


@router.post("", status_code=201)
def open_dispute(body: DisputeRequest, caller: Anyone, once: Once, market: Market, now: Now) -> Dispute:
    """Contest what an order was charged; what its providers still have of it is withheld until it is resolved."""
    return Dispute.of(disputes.open_dispute(market.uow(), now, caller, OrderId(body.order), body.reason, once))


@router.get("")
def list_disputes(
    caller: Anyone,
    market: Market,
    state: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=disputes.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> DisputeList:
    """The caller's disputes, newest first; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    found = disputes.list_disputes(market.uow(), account, state, limit, DisputeId(before) if before else None)
    following = found[-1].id if len(found) == limit else None
    return DisputeList(disputes=[Dispute.of(dispute) for dispute in found], next_before=following)


@router.get("/{dispute_id}")
def show_dispute(dispute_id: UUID, caller: Anyone, market: Market) -> Dispute:
    """One dispute."""
    return Dispute.of(disputes.show_dispute(market.uow(), DisputeId(dispute_id), caller))


@router.post("/{dispute_id}/uphold")
def uphold(dispute_id: UUID, body: Upholding, caller: Admin, once: Once, market: Market, now: Now) -> Dispute:
    """Give the buyer back all or a part of what was contested, by reversals and smaller charges."""
    uow, found = market.uow(), DisputeId(dispute_id)
    return Dispute.of(disputes.uphold(uow, now, caller, found, body.reason, body.amount, body.from_fund, once))


@router.post("/{dispute_id}/reject")
def reject(dispute_id: UUID, body: Rejection, caller: Admin, once: Once, market: Market, now: Now) -> Dispute:
    """Let the charges stand; what was withheld goes back to the providers."""
    return Dispute.of(disputes.reject(market.uow(), now, caller, DisputeId(dispute_id), body.reason, once))
