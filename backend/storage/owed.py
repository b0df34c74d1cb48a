"""POSTs that webhooks are owed: what all kinds of them have in common, claimed by one sender at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection, text

from backend.domain.ids import DeliveryId
from backend.storage.rows import insert_rows, update_rows, values_of
from backend.storage.tables import Base

ERROR_CHARS_MAX = 300
_HOW_IT_ENDED = ("id", "due_at", "attempts", "done_at", "status", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """How far one POST is; `attempts` are those begun, `due_at` is when the next may begin."""

    id: DeliveryId
    body: Mapping[str, object]
    due_at: datetime
    attempts: int = 0
    done_at: datetime | None = None
    status: int | None = None
    error: str | None = None


Kind = TypeVar("Kind", bound=Owed)


class OwedRepository(Generic[Kind]):
    """A claim is a due time in the future: a sender that dies loses nothing, and no two send at once."""

    table: ClassVar[type[Base]]
    record: ClassVar[type[Owed]]
    whose_turn: ClassVar[str] = ""  # a further condition on what is due; it may name the binds of a claim

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, deliveries: Sequence[Kind]) -> None:
        """Owe these."""
        insert_rows(self._connection, self.table, [_row(delivery) for delivery in deliveries])

    def claim(self, now: datetime, until: datetime, limit: int) -> list[Kind]:
        """The oldest that are due; nobody else gets them before `until`. Each claim counts as an attempt."""
        name = self.table.__tablename__
        rows = self._connection.execute(
            text(
                f"UPDATE {name} SET due_at = :until, attempts = attempts + 1 WHERE id IN (SELECT id FROM {name}"
                f" WHERE done_at IS NULL AND due_at <= :now {self.whose_turn}"
                f" ORDER BY due_at, id LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING {self._columns()}"
            ),
            {"now": now, "until": until, "limit": limit},
        )
        return sorted((self._of(row) for row in rows), key=lambda delivery: delivery.id)

    def write(self, deliveries: Sequence[Kind]) -> None:
        """Record how attempts ended."""
        rows = [_row(delivery) for delivery in deliveries]
        update_rows(self._connection, self.table, [{name: row[name] for name in _HOW_IT_ENDED} for row in rows])

    def _about(self, condition: str, binds: Mapping[str, object]) -> list[Kind]:
        """What was, or is, owed about a thing, the oldest first."""
        name = self.table.__tablename__
        rows = self._connection.execute(
            text(f"SELECT {self._columns()} FROM {name} WHERE {condition} ORDER BY id"), dict(binds)
        )
        return [self._of(row) for row in rows]

    def _of(self, row: Any) -> Kind:
        delivery: Kind = self.record(**row._mapping)  # type: ignore[assignment]  # a kind names its own record
        return delivery

    def _columns(self) -> str:
        return ", ".join(self.record.__dataclass_fields__)


def _row(delivery: Owed) -> dict[str, Any]:
    error = delivery.error and delivery.error[:ERROR_CHARS_MAX]
    values = values_of(delivery) | {"body": dict(delivery.body), "error": error}
    return {name: str(value) if isinstance(value, StrEnum) else value for name, value in values.items()}
