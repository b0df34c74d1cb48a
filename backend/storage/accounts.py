"""Accounts: customers and providers."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from backend.domain.ids import AccountId
from backend.domain.organisations import AccountType
from backend.storage.tables import AccountRow


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
