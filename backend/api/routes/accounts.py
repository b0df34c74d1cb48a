"""Accounts: opened by admins, seen by their owners."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.security import Admin, Anyone, account_of
from backend.api.wire.accounts import Account, AccountList, NewAccount
from backend.api.wire.base import Text
from backend.domain.ids import AccountId
from backend.services import accounts

router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"])


@router.post("", status_code=201)
def create_account(body: NewAccount, caller: Admin, market: Market, now: Now) -> Account:
    """Open an account with an empty wallet."""
    return Account.of(accounts.create_account(market.uow(), now, body.name, caller))


@router.get("")
def list_accounts(
    _: Admin,
    market: Market,
    search: Annotated[Text | None, Query(description="In the name.")] = None,
    limit: Annotated[int, Query(ge=1, le=accounts.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> AccountList:
    """Accounts with their money, the newest first; organisations are accounts too."""
    following = AccountId(before) if before else None
    return AccountList.of(accounts.list_accounts(market.uow(), search, limit, following), limit)


@router.get("/me")
def show_own_account(caller: Anyone, market: Market) -> Account:
    """The caller's own account."""
    return Account.of(accounts.show_account(market.uow(), caller.account_id))


@router.get("/{account_id}")
def show_account(account_id: UUID, caller: Anyone, market: Market) -> Account:
    """An account's money; another's account is unknown, except to admins."""
    return Account.of(accounts.show_account(market.uow(), account_of(caller, account_id)))
