"""Payouts: requested by providers, approved and posted by admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Admin, Provider
from backend.api.wire.base import Text
from backend.api.wire.payouts import Payout, PayoutList, PayoutRequest, Posting, Rejection
from backend.domain.access import Role
from backend.domain.ids import PayoutId
from backend.services import payouts

router = APIRouter(prefix="/api/v1/payouts", tags=["payouts"])


@router.post("", status_code=201)
def request_payout(body: PayoutRequest, caller: Provider, once: Once, market: Market, now: Now) -> Payout:
    """Ask for a part of one's earnings, which is held from now on."""
    return Payout.of(payouts.request_payout(market.uow(), now, caller, body.amount, body.destination, once))


@router.get("")
def list_payouts(
    caller: Provider,
    market: Market,
    state: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=payouts.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> PayoutList:
    """The caller's payouts, newest first; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    found = payouts.list_payouts(market.uow(), account, state, limit, PayoutId(before) if before else None)
    following = found[-1].id if len(found) == limit else None
    return PayoutList(payouts=[Payout.of(payout) for payout in found], next_before=following)


@router.get("/{payout_id}")
def show_payout(payout_id: UUID, caller: Provider, market: Market) -> Payout:
    """One payout."""
    return Payout.of(payouts.show_payout(market.uow(), PayoutId(payout_id), caller))


@router.post("/{payout_id}/approve")
def approve_payout(payout_id: UUID, caller: Admin, once: Once, market: Market, now: Now) -> Payout:
    """Say that a payout, not one's own, may be paid."""
    return Payout.of(payouts.approve_payout(market.uow(), now, caller, PayoutId(payout_id), once))


@router.post("/{payout_id}/post")
def post_payout(payout_id: UUID, body: Posting, caller: Admin, once: Once, market: Market, now: Now) -> Payout:
    """Book that an approved payout was paid; the same reference again gets the first answer."""
    return Payout.of(payouts.post_payout(market.uow(), now, caller, PayoutId(payout_id), body.reference, once))


@router.post("/{payout_id}/reject")
def reject_payout(payout_id: UUID, body: Rejection, caller: Admin, once: Once, market: Market, now: Now) -> Payout:
    """Refuse a payout that is not posted; its hold is released."""
    return Payout.of(payouts.reject_payout(market.uow(), now, caller, PayoutId(payout_id), body.reason, once))


@router.post("/{payout_id}/cancel")
def cancel_payout(payout_id: UUID, caller: Provider, once: Once, market: Market, now: Now) -> Payout:
    """Take a request back before it is approved; its hold is released."""
    return Payout.of(payouts.cancel_payout(market.uow(), now, caller, PayoutId(payout_id), once))
