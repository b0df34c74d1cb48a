"""Accounts and API keys."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Invalid, NotFound, Unauthenticated, unknown_choice
from backend.domain.events import Event, Topic
from backend.domain.ids import AccountId, KeyId, LedgerAccountId
from backend.domain.ledger import AccountKind
from backend.domain.nodes import check_name
from backend.storage.accounts import Account
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

KEY_PREFIX = "swx_"
KEY_BYTES = 32
LABEL_CHARS_MAX = 100
CHANGED_KEYS = "keys"


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


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when its secret is known."""

    key_id: KeyId
    account_id: AccountId
    role: Role
    label: str
    secret: str


def create_account(uow: UnitOfWork, now: datetime, name: str) -> AccountView:
    """Open an account with an empty wallet; raises Conflict(`account_exists`) when the name is taken."""
    check_name(name)
    with uow:
        account = Account(AccountId(new_id()), name, now)
        if not uow.accounts.add(account):
            raise Conflict(f"account {name} exists", code="account_exists", field="name", accepted="a free name")
        for kind in (AccountKind.WALLET, AccountKind.EARNINGS):
            uow.ledger.open(LedgerAccountId(new_id()), account.id, kind)
        view = _view(uow, account)
        uow.commit()
    return view


def show_account(uow: UnitOfWork, account: UUID | str) -> AccountView:
    """An account by id or name; raises NotFound."""
    with uow:
        return _view(uow, find_account(uow, account))


def find_account(uow: UnitOfWork, account: UUID | str) -> Account:
    """The account of that id or name inside an open unit of work; raises NotFound."""
    found = uow.accounts.find(account)
    if found is None:
        raise NotFound("account", account, field="account", accepted="the id or name of an account")
    return found


def create_key(uow: UnitOfWork, now: datetime, account_id: AccountId, role: str, label: str = "") -> NewKey:
    """Make an API key; only the SHA-256 of its secret is kept (256 random bits need no slow hash)."""
    if role not in [r.value for r in Role]:
        raise unknown_choice("role", role, [r.value for r in Role])
    if len(label) > LABEL_CHARS_MAX or not label.isprintable():
        raise Invalid("the label cannot be used", code="invalid_label", field="label", accepted="up to 100 characters")
    secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    key_id = KeyId(new_id())
    principal = Principal(key_id, account_id, Role(role))
    with uow:
        find_account(uow, account_id)
        uow.keys.add(principal, label, digest_of(secret), now)
        uow.changes.bump(CHANGED_KEYS)
        uow.emit(Event(Topic.KEYS_CHANGED))
        uow.commit()
    return NewKey(key_id, account_id, principal.role, label, secret)


def revoke_key(uow: UnitOfWork, now: datetime, key_id: KeyId, actor: Principal) -> None:
    """End a key of the actor's account (admins: of any); twice is once. Raises NotFound."""
    with uow:
        owner = uow.keys.find(key_id)
        if owner is None:
            raise NotFound("key", key_id)
        actor.require_owner(owner.account_id, "key", key_id)
        uow.keys.revoke(key_id, now)
        uow.changes.bump(CHANGED_KEYS)
        uow.emit(Event(Topic.KEYS_CHANGED))
        uow.commit()


def authenticate(uow: UnitOfWork, secret: str) -> Principal:
    """Whom a key speaks for; raises Unauthenticated."""
    with uow:
        principal = uow.keys.live(digest_of(secret))
    if principal is None:
        raise Unauthenticated("the API key is unknown or revoked", field="Authorization", accepted="Bearer swx_…")
    return principal


def digest_of(secret: str) -> bytes:
    """What is kept of a key's secret."""
    return hashlib.sha256(secret.encode()).digest()


def _view(uow: UnitOfWork, account: Account) -> AccountView:
    balances = uow.ledger.balances_of(account.id)
    wallet, earnings = balances[AccountKind.WALLET], balances[AccountKind.EARNINGS]
    return AccountView(
        account.id,
        account.name,
        wallet.posted_nano,
        wallet.reserved_nano,
        wallet.available_nano,
        earnings.posted_nano,
        account.created_at,
    )
