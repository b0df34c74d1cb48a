"""What audits found: the newest of each mode, for metrics and for whoever asks since when something is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.storage.rows import insert_records
from backend.storage.tables import AuditRunRow

RUNS_KEPT = 1_000  # of each mode

_FORGET = text("""
    DELETE FROM audit_runs WHERE mode = :mode AND id <= (
        SELECT id FROM audit_runs WHERE mode = :mode ORDER BY id DESC OFFSET :kept LIMIT 1
    )
""")


@dataclass(frozen=True, slots=True)
class AuditRun:
    """One audit: how much it looked at, in how many microseconds, and what did not add up."""

    id: UUID
    mode: str
    ok: bool
    accounts: int
    transfers: int
    holds: int
    sum_nano: int
    differences: Sequence[Mapping[str, object]]
    took_us: int
    audited_at: datetime


class AuditRunRepository:
    """A bounded history."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, run: AuditRun) -> None:
        """Record a run, and forget those of its mode that are too old to matter."""
        insert_records(self._connection, AuditRunRow, [run])
        self._connection.execute(_FORGET, {"mode": run.mode, "kept": RUNS_KEPT})

    def newest(self) -> list[AuditRun]:
        """The latest run of each mode."""
        rows: Any = self._connection.execute(
            text(
                f"SELECT DISTINCT ON (mode) {', '.join(AuditRun.__dataclass_fields__)}"
                " FROM audit_runs ORDER BY mode, id DESC"
            )
        )
        return [AuditRun(*row) for row in rows]
