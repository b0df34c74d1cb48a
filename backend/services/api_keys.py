"""API keys: made, listed, revoked; only the digest of a key's secret is kept."""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import Forbidden, Invalid, NotFound, Unauthenticated, unknown_choice
from backend.domain.events import Event, Topic
from backend.domain.ids import AccountId, KeyId
from backend.services.accounts import find_account
from backend.services.log import record
from backend.services.managing import check_manages, check_still_belongs
from backend.storage.api_keys import ApiKey
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

KEY_PREFIX = "swx_"
KEY_BYTES = 32
LABEL_CHARS_MAX = 100
LIST_MAX = 1_000
CHANGED_KEYS = "keys"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when its secret is known."""

    key_id: KeyId
    account_id: AccountId
    role: Role
    label: str
    secret: str


def create_key(
    uow: UnitOfWork,
    now: datetime,
    account_id: AccountId,
    role: str,
    label: str = "",
    principal: Principal | None = None,
) -> NewKey:
    """Make an API key; only the SHA-256 of its secret is kept (256 random bits need no slow hash).

    Whoever acts with an organisation's key as a member makes keys for that member only.
    """
    if role not in [r.value for r in Role]:
        raise unknown_choice("role", role, [r.value for r in Role])
    member = principal.member_id if principal and principal.account_id == account_id else None
    with uow:
        find_account(uow, account_id)
        bearer = Principal(None, account_id, Role(role), member)
        check_still_belongs(uow, bearer)
        made = make_key(uow, now, bearer, label)
        record(uow, now, principal, "key.create", f"key {made.key_id}", account=str(account_id), role=role)
        uow.commit()
    return made


def make_key(uow: UnitOfWork, now: datetime, bearer: Principal, label: str) -> NewKey:
    """A key that speaks for `bearer`, inside an open unit of work."""
    if len(label) > LABEL_CHARS_MAX or not label.isprintable():
        raise Invalid("the label cannot be used", code="invalid_label", field="label", accepted="up to 100 characters")
    secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    key_id = KeyId(new_id())
    uow.keys.add(replace(bearer, key_id=key_id), label, digest_of(secret), now)
    uow.changes.bump(CHANGED_KEYS)
    uow.emit(Event(Topic.KEYS_CHANGED))
    return NewKey(key_id, bearer.account_id, bearer.role, label, secret)


def list_keys(
    uow: UnitOfWork,
    actor: Principal,
    account_id: AccountId,
    limit: int = LIST_MAX,
    before: KeyId | None = None,
    *,
    revoked: bool = False,
) -> list[ApiKey]:
    """Keys of an account that the actor manages, the newest first; members see those that they use themselves.

    `before` continues below an id. Raises NotFound for accounts of others, Invalid(`invalid_limit`).
    """
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    member = None
    with uow:
        try:
            find_account(uow, account_id)
            check_manages(uow, actor, account_id)
        except Forbidden:
            member = actor.actor
        except NotFound:  # another's account looks like none
            raise NotFound("account", account_id) from None
        return uow.keys.page(account_id, member, limit, before, revoked=revoked)


def revoke_key(uow: UnitOfWork, now: datetime, key_id: KeyId, actor: Principal) -> None:
    """End a key of the actor's account (admins: of any; members: their own); twice is once. Raises NotFound."""
    with uow:
        bearer = find_own_key(uow, key_id, actor)
        uow.keys.revoke(key_id, now)
        uow.changes.bump(CHANGED_KEYS)
        uow.emit(Event(Topic.KEYS_CHANGED))
        record(uow, now, actor, "key.revoke", f"key {key_id}", account=str(bearer.account_id))
        uow.commit()


def find_own_key(uow: UnitOfWork, key_id: KeyId, actor: Principal) -> Principal:
    """Whom a key of the actor's account speaks for (admins: any; members: their own), inside an open unit of work.

    Raises NotFound for others' keys, Forbidden(`owner_needed`) for keys of fellow members.
    """
    bearer = uow.keys.find(key_id)
    if bearer is None:
        raise NotFound("key", key_id)
    own = bearer.account_id == actor.account_id and actor.member_id in (None, bearer.member_id)
    own = own or bearer.member_id == actor.actor
    if not own:
        try:
            check_manages(uow, actor, bearer.account_id)
        except NotFound:
            raise NotFound("key", key_id) from None
    return bearer


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
