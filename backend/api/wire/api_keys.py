"""API keys on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Answer, Id, Text, Wire
from backend.domain.access import Role
from backend.services.api_keys import NewKey
from backend.storage.api_keys import ApiKey

ROLES = [role.value for role in Role]


class KeyRequest(Wire):
    """A key to create: for the caller's own account, or, by an admin, for the account named."""

    account: Id | None = None
    role: Annotated[Text, Field(json_schema_extra={"enum": ROLES})] = "user"
    label: Text | None = Field(default=None, examples=["notebook"])


class CreatedKey(Answer):
    """A new key; its secret is shown this once and kept nowhere."""

    key_id: UUID
    account: UUID
    role: str
    label: str
    secret: str = Field(examples=["swx_…"])

    @classmethod
    def of(cls, key: NewKey) -> Self:
        """The wire form of a key just made."""
        return cls(key_id=key.key_id, account=key.account_id, role=key.role, label=key.label, secret=key.secret)


class Key(Answer):
    """A key as it is listed: without its secret, which nobody has but its user. `member` uses an organisation's key."""

    key_id: UUID
    account: UUID
    member: UUID | None
    member_name: str | None
    role: str
    label: str
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """The wire form of a key."""
        return cls(
            key_id=key.id,
            account=key.account_id,
            member=key.member_id,
            member_name=key.member,
            role=key.role,
            label=key.label,
            created_at=key.created_at,
            revoked_at=key.revoked_at,
        )


class KeyList(Answer):
    """Keys, the newest first; `next_before` continues, and is null at the end."""

    keys: list[Key]
    next_before: UUID | None

    @classmethod
    def of(cls, found: Sequence[ApiKey], limit: int) -> Self:
        """The wire form of a page of so many at most."""
        following = found[-1].id if len(found) == limit else None
        return cls(keys=[Key.of(key) for key in found], next_before=following)
