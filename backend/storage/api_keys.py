"""API keys: whom they speak for, and the digests of their secrets."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, KeyId
from backend.storage.tables import AccountRow, ApiKeyRow


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without anything that would open something."""

    id: KeyId
    account_id: AccountId
    member_id: AccountId | None  # who uses an organisation's key
    member: str | None
    role: Role
    label: str
    created_at: datetime
    revoked_at: datetime | None


class KeyRepository:
    """API keys by the digest of their secret."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, principal: Principal, label: str, digest: bytes, now: datetime) -> None:
        """Record a new key of a principal's account and role."""
        self._connection.execute(
            insert(ApiKeyRow).values(
                id=principal.key_id,
                account_id=principal.account_id,
                member_id=principal.member_id,
                role=principal.role,
                label=label,
                digest=digest,
                created_at=now,
            )
        )

    def find(self, key_id: KeyId) -> Principal | None:
        """Whom a key belongs to, revoked or not."""
        return self._one(ApiKeyRow.id == key_id)

    def live(self, digest: bytes) -> Principal | None:
        """Whom the secret with this digest speaks for, unless revoked."""
        return self._one((ApiKeyRow.digest == digest) & ApiKeyRow.revoked_at.is_(None))

    def page(
        self, account: AccountId, member: AccountId | None, limit: int, before: KeyId | None, *, revoked: bool
    ) -> list[ApiKey]:
        """Keys of an account, the newest first; only those that a member uses, only below an id, the revoked too."""
        row = ApiKeyRow
        wanted = [row.account_id == account]
        wanted += [] if member is None else [row.member_id == member]
        wanted += [] if before is None else [row.id < before]
        wanted += [] if revoked else [row.revoked_at.is_(None)]
        columns = (row.id, row.account_id, row.member_id, AccountRow.name, row.role, row.label)
        found = self._connection.execute(
            select(*columns, row.created_at, row.revoked_at)
            .outerjoin(AccountRow, AccountRow.id == row.member_id)
            .where(*wanted)
            .order_by(row.id.desc())
            .limit(limit)
        )
        return [
            ApiKey(KeyId(i), AccountId(owner), AccountId(user) if user else None, name, Role(role), label, made, ended)
            for i, owner, user, name, role, label, made, ended in found
        ]

    def revoke(self, key_id: KeyId, now: datetime) -> None:
        """End a key; a second time changes nothing."""
        self._connection.execute(
            update(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None)).values(revoked_at=now)
        )

    def revoke_of_member(self, organisation: AccountId, member: AccountId, now: datetime) -> None:
        """End the keys with which a member spends for an organisation."""
        self._connection.execute(
            update(ApiKeyRow)
            .where(ApiKeyRow.account_id == organisation, ApiKeyRow.member_id == member, ApiKeyRow.revoked_at.is_(None))
            .values(revoked_at=now)
        )

    def _one(self, condition: object) -> Principal | None:
        row = self._connection.execute(
            select(ApiKeyRow.id, ApiKeyRow.account_id, ApiKeyRow.role, ApiKeyRow.member_id).where(condition)  # type: ignore[arg-type]  # a column expression
        ).one_or_none()
        return Principal(KeyId(row.id), AccountId(row.account_id), Role(row.role), row.member_id) if row else None
