"""API keys: created for one's own account with one's own role at most, or by an admin for anybody."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone, account_of, role_at_most
from backend.api.wire.api_keys import CreatedKey, KeyList, KeyRequest
from backend.api.wire.rates import KeyLimits, NewKeyLimits
from backend.domain.ids import AccountId, KeyId
from backend.services import api_keys, rates

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])


@router.post("", status_code=201)
def create_key(body: KeyRequest, caller: Anyone, market: Market, now: Now) -> CreatedKey:
    """A new key; its secret is in this answer and nowhere else."""
    account, role = account_of(caller, body.account), role_at_most(caller, body.role)
    return CreatedKey.of(api_keys.create_key(market.uow(), now, account, role, body.label or "", caller))


@router.get("")
def list_keys(
    caller: Anyone,
    market: Market,
    account: Annotated[UUID | None, Query(description="An organisation of the caller; for admins, any.")] = None,
    revoked: Annotated[bool, Query(description="Those that were revoked, too.")] = False,
    limit: Annotated[int, Query(ge=1, le=api_keys.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> KeyList:
    """Keys of the caller's account, or of the one named, the newest first; members see those that they use."""
    of, following = AccountId(account or caller.account_id), KeyId(before) if before else None
    return KeyList.of(api_keys.list_keys(market.uow(), caller, of, limit, following, revoked=revoked), limit)


@router.delete("/{key_id}", status_code=204)
def revoke_key(key_id: UUID, caller: Anyone, market: Market, now: Now) -> None:
    """End a key; within half a second it opens nothing any more."""
    api_keys.revoke_key(market.uow(), now, KeyId(key_id), caller)


@router.get("/{key_id}/limits")
def show_limits(key_id: UUID, caller: Anyone, market: Market) -> KeyLimits:
    """How much a key may ask for on each face, and what was set for it."""
    return KeyLimits.of(rates.show_limits(market.uow(), caller, KeyId(key_id)))


@router.put("/{key_id}/limits")
def set_limits(key_id: UUID, body: NewKeyLimits, caller: Anyone, market: Market, now: Now) -> KeyLimits:
    """Limit a key within a second: owners below what it has, admins as they like."""
    return KeyLimits.of(rates.set_limits(market.uow(), now, caller, KeyId(key_id), body.limits()))


@router.delete("/{key_id}/limits")
def remove_limits(key_id: UUID, caller: Anyone, market: Market, now: Now) -> KeyLimits:
    """Forget what was set for a key: what its owner set, and for admins all of it."""
    return KeyLimits.of(rates.remove_limits(market.uow(), now, caller, KeyId(key_id)))
