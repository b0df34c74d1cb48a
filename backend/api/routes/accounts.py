"""Accounts: opened by admins, seen by their owners."""

from uuid import UUID

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Admin, Anyone, account_of
from backend.api.wire.accounts import Account, NewAccount
from backend.services import accounts

router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"])


@router.post("", status_code=201)
def create_account(body: NewAccount, caller: Admin, market: Market, now: Now) -> Account:
    """Open an account with an empty wallet."""
    return Account.of(accounts.create_account(market.uow(), now, body.name, caller))


@router.get("/me")
def show_own_account(caller: Anyone, market: Market) -> Account:
    """The caller's own account."""
    return Account.of(accounts.show_account(market.uow(), caller.account_id))


@router.get("/{account_id}")
def show_account(account_id: UUID, caller: Anyone, market: Market) -> Account:
    """An account's money; another's account is unknown, except to admins."""
    return Account.of(accounts.show_account(market.uow(), account_of(caller, account_id)))
