"""Members of organisations."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId
from backend.domain.organisations import MemberRole


@dataclass(frozen=True, slots=True)
class Member:
    """A person in an organisation."""

    account_id: AccountId
    name: str
    role: MemberRole
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """An organisation as one of its members sees it in a list."""

    organisation_id: AccountId
    name: str
    role: MemberRole


class OrganisationRepository:
    """Who belongs to which organisation. Whoever changes members locks the organisation first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, organisation: AccountId) -> None:
        """Keep its members as they are until the transaction ends; what refers to it is not kept waiting."""
        self._connection.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR NO KEY UPDATE"), {"id": organisation})

    def put(self, organisation: AccountId, account: AccountId, role: MemberRole, now: datetime) -> None:
        """Make somebody a member, or change the role that they have."""
        self._connection.execute(
            text(
                "INSERT INTO members (organisation_id, account_id, role, joined_at)"
                " VALUES (:organisation, :account, :role, :now)"
                " ON CONFLICT (organisation_id, account_id) DO UPDATE SET role = excluded.role"
            ),
            {"organisation": organisation, "account": account, "role": str(role), "now": now},
        )

    def remove(self, organisation: AccountId, account: AccountId) -> None:
        """End a membership."""
        self._connection.execute(
            text("DELETE FROM members WHERE organisation_id = :organisation AND account_id = :account"),
            {"organisation": organisation, "account": account},
        )

    def role_of(self, organisation: AccountId, account: AccountId) -> MemberRole | None:
        """What somebody is in an organisation, if anything."""
        role: str | None = self._connection.execute(
            text("SELECT role FROM members WHERE organisation_id = :organisation AND account_id = :account"),
            {"organisation": organisation, "account": account},
        ).scalar_one_or_none()
        return MemberRole(role) if role else None

    def members(self, organisation: AccountId) -> list[Member]:
        """Everybody in an organisation, by name."""
        rows: Any = self._connection.execute(
            text(
                "SELECT m.account_id, a.name, m.role, m.joined_at FROM members m JOIN accounts a ON a.id = m.account_id"
                " WHERE m.organisation_id = :organisation ORDER BY a.name"
            ),
            {"organisation": organisation},
        )
        return [Member(row.account_id, row.name, MemberRole(row.role), row.joined_at) for row in rows]

    def of_account(self, account: AccountId | None) -> list[Membership]:
        """The organisations that somebody belongs to or, without one, all there are, each with its first owner."""
        rows: Any = self._connection.execute(
            text(
                "SELECT DISTINCT ON (a.name) m.organisation_id, a.name, m.role"
                " FROM members m JOIN accounts a ON a.id = m.organisation_id"
                " WHERE CAST(:account AS uuid) IS NULL OR m.account_id = :account ORDER BY a.name, m.joined_at"
            ),
            {"account": account},
        )
        return [Membership(row.organisation_id, row.name, MemberRole(row.role)) for row in rows]
