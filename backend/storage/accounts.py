"""Accounts: customers and providers."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Select, select
from sqlalchemy.dialects.postgresql import insert

from backend.domain.ids import AccountId
from backend.domain.organisations import AccountType
from backend.storage.tables import AccountRow

_SELECTED = select(AccountRow.id, AccountRow.name, AccountRow.created_at, AccountRow.type)


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
        found = self._many(_SELECTED.where(column == account))
        return found[0] if found else None

    def page(self, search: str | None, limit: int, before: AccountId | None) -> list[Account]:
        """Accounts, the newest first; only those with a text in their names, only below an id."""
        wanted = [] if search is None else [AccountRow.name.contains(search, autoescape=True)]
        wanted += [] if before is None else [AccountRow.id < before]
        return self._many(_SELECTED.where(*wanted).order_by(AccountRow.id.desc()).limit(limit))

    def _many(self, query: Select[UUID, str, datetime, str]) -> list[Account]:
        rows = self._connection.execute(query)
        return [Account(AccountId(i), name, at, AccountType(kind)) for i, name, at, kind in rows]
