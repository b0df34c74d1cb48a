"""Accounts, and what money they have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.domain.access import Principal
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.ids import AccountId, LedgerAccountId
from backend.domain.ledger import OWNED_KINDS, AccountKind, Balance
from backend.domain.nodes import check_name
from backend.domain.organisations import AccountType
from backend.services.log import record
from backend.storage.accounts import Account
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 1_000


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account and its money in nano-credits."""

    id: AccountId
    name: str
    wallet_nano: int
    reserved_nano: int
    available_nano: int
    earnings_nano: int
    created_at: datetime
    type: AccountType
    withheld_nano: int
    exhausted_in_s: int | None  # how long the wallet lasts at what the sessions burn; None: nothing burns


def create_account(uow: UnitOfWork, now: datetime, name: str, principal: Principal | None = None) -> AccountView:
    """Open a person's account with an empty wallet; raises Conflict(`account_exists`) when the name is taken."""
    with uow:
        account = open_account(uow, now, name, AccountType.PERSON)
        record(uow, now, principal, "account.create", f"account {account.id}", name=name)
        view = view_of(uow, account)
        uow.commit()
    return view


def open_account(uow: UnitOfWork, now: datetime, name: str, kind: AccountType) -> Account:
    """Open an account with its ledger accounts, inside an open unit of work; raises Conflict(`account_exists`)."""
    check_name(name)
    account = Account(AccountId(new_id()), name, now, kind)
    if not uow.accounts.add(account):
        raise Conflict(f"account {name} exists", code="account_exists", field="name", accepted="a free name")
    for purpose in OWNED_KINDS:
        uow.ledger.open(LedgerAccountId(new_id()), account.id, purpose)
    return account


def show_account(uow: UnitOfWork, account: UUID | str) -> AccountView:
    """An account by id or name; raises NotFound."""
    with uow:
        return view_of(uow, find_account(uow, account))


def list_accounts(
    uow: UnitOfWork, search: str | None = None, limit: int = LIST_MAX, before: AccountId | None = None
) -> list[AccountView]:
    """Accounts with their money, the newest first, those with a text in their names; `before` continues below an id.

    Raises Invalid(`invalid_limit`).
    """
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    with uow:
        return views_of(uow, uow.accounts.page(search, limit, before))


def find_account(uow: UnitOfWork, account: UUID | str) -> Account:
    """The account of that id or name inside an open unit of work; raises NotFound."""
    found = uow.accounts.find(account)
    if found is None:
        raise NotFound("account", account, accepted="the id or name of an account")
    return found


def view_of(uow: UnitOfWork, account: Account) -> AccountView:
    """An account with its money, inside an open unit of work."""
    return views_of(uow, [account])[0]


def views_of(uow: UnitOfWork, accounts: Sequence[Account]) -> list[AccountView]:
    """Accounts with their money, inside an open unit of work."""
    ids = [account.id for account in accounts]
    balances, burning = uow.ledger.balances_of_each(ids), uow.sessions.burn_nano_per_s(ids)
    return [_view(account, balances[account.id], burning.get(account.id, 0)) for account in accounts]


def _view(account: Account, balances: Mapping[AccountKind, Balance], burn_nano_per_s: int) -> AccountView:
    wallet, earnings = balances[AccountKind.WALLET], balances[AccountKind.EARNINGS]
    return AccountView(
        account.id,
        account.name,
        wallet.posted_nano,
        wallet.reserved_nano,
        wallet.available_nano,
        earnings.posted_nano,
        account.created_at,
        account.type,
        balances[AccountKind.WITHHELD].posted_nano,
        wallet.available_nano // burn_nano_per_s if burn_nano_per_s else None,
    )
