"""Accounts and API keys."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, KeyId
from backend.domain.organisations import AccountType
from backend.storage.tables import AccountRow, ApiKeyRow


@dataclass(frozen=True, slots=True)
class Account:
    """A customer or provider."""

    id: AccountId
    name: str
    created_at: datetime
    type: AccountType = AccountType.PERSON


class AccountRepository:
    """Customers and providers by id or by name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, account: Account) -> bool:
        """Record a new account; False, and nothing, if its name is taken."""
        added = self._connection.execute(
            insert(AccountRow)
            .values(id=account.id, name=account.name, type=str(account.type), created_at=account.created_at)
            .on_conflict_do_nothing(index_elements=[AccountRow.name])
            .returning(AccountRow.id)
        )
        return added.one_or_none() is not None

    def find(self, account: UUID | str) -> Account | None:
        """The account of that id or name."""
        column = AccountRow.id if isinstance(account, UUID) else AccountRow.name
        row = self._connection.execute(
            select(AccountRow.id, AccountRow.name, AccountRow.created_at, AccountRow.type).where(column == account)
        ).one_or_none()
        return Account(AccountId(row.id), row.name, row.created_at, AccountType(row.type)) if row else None


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
