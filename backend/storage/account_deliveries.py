"""What accounts' own webhooks are owed: written with what they tell of, claimed by one sender at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, DeliveryId
from backend.storage.deliveries import ERROR_CHARS_MAX
from backend.storage.rows import insert_rows, update_rows, values_of
from backend.storage.tables import AccountDeliveryRow

CLAIMED_OF_ACCOUNT_MAX = 4  # at once


@dataclass(frozen=True, slots=True)
class AccountDelivery:
    """One POST that is owed; `attempts` are those begun, `due_at` is when the next may begin."""

    id: DeliveryId
    account_id: AccountId
    subject: str
    url: str
    body: Mapping[str, object]
    due_at: datetime
    attempts: int = 0
    done_at: datetime | None = None
    status: int | None = None
    error: str | None = None


_COLUMNS = ", ".join(AccountDelivery.__dataclass_fields__)


class AccountDeliveryRepository:
    """A claim is a due time in the future: a sender that dies loses nothing, and no two send at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, deliveries: Sequence[AccountDelivery]) -> None:
        """Owe these."""
        insert_rows(self._connection, AccountDeliveryRow, [values_of(delivery) for delivery in deliveries])

    def claim(self, now: datetime, until: datetime, limit: int) -> list[AccountDelivery]:
        """The oldest that are due; nobody else gets them before `until`. Each claim counts as an attempt.

        Accounts take turns, each with CLAIMED_OF_ACCOUNT_MAX at most: one whose receiver hangs holds up no other.
        """
        rows = self._connection.execute(
            text(
                "UPDATE account_deliveries SET due_at = :until, attempts = attempts + 1 WHERE id IN ("
                " SELECT id FROM account_deliveries WHERE done_at IS NULL AND due_at <= :now AND id IN ("
                "  SELECT id FROM (SELECT id, due_at, row_number() OVER ("
                "   PARTITION BY account_id ORDER BY due_at, id) AS turn"
                "   FROM account_deliveries WHERE done_at IS NULL AND due_at <= :now) AS due"
                "  WHERE turn <= :each ORDER BY turn, due_at, id LIMIT :limit"
                f" ) FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}"
            ),
            {"now": now, "until": until, "limit": limit, "each": CLAIMED_OF_ACCOUNT_MAX},
        )
        return sorted((AccountDelivery(**row._mapping) for row in rows), key=lambda one: one.id)

    def write(self, deliveries: Sequence[AccountDelivery]) -> None:
        """Record how attempts ended."""
        kept = ("id", "due_at", "attempts", "done_at", "status", "error")
        rows: list[dict[str, Any]] = [{name: values_of(one)[name] for name in kept} for one in deliveries]
        for row in rows:
            row["error"] = row["error"] and row["error"][:ERROR_CHARS_MAX]
        update_rows(self._connection, AccountDeliveryRow, rows)

    def signing_secret(self) -> str:
        """What links and webhooks of this market are signed with."""
        return str(self._connection.execute(text("SELECT value FROM kept_secrets WHERE name = 'links'")).scalar_one())

    def of_subject(self, subject: str) -> list[AccountDelivery]:
        """What was, or is, owed about a thing, the oldest first."""
        rows = self._connection.execute(
            text(f"SELECT {_COLUMNS} FROM account_deliveries WHERE subject = :subject ORDER BY id"),
            {"subject": subject},
        )
        return [AccountDelivery(**row._mapping) for row in rows]
