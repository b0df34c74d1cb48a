"""API keys: created for one's own account with one's own role at most, or by an admin for anybody."""

from uuid import UUID

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Anyone, account_of, role_at_most
from backend.api.wire.accounts import CreatedKey, KeyRequest
from backend.domain.ids import KeyId
from backend.services import accounts

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])


@router.post("", status_code=201)
def create_key(body: KeyRequest, caller: Anyone, market: Market, now: Now) -> CreatedKey:
    """A new key; its secret is in this answer and nowhere else."""
    account, role = account_of(caller, body.account), role_at_most(caller, body.role)
    return CreatedKey.of(accounts.create_key(market.uow(), now, account, role, body.label or "", caller))


@router.delete("/{key_id}", status_code=204)
def revoke_key(key_id: UUID, caller: Anyone, market: Market, now: Now) -> None:
    """End a key; within half a second it opens nothing any more."""
    accounts.revoke_key(market.uow(), now, KeyId(key_id), caller)
