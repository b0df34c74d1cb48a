"""Incidents: at most one open of a kind and subject, by an index; resolved ones are kept for a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, IncidentId
from backend.domain.incidents import Incident, IncidentKind, IncidentState, Severity
from backend.storage.rows import insert_rows, update_rows, values_of
from backend.storage.tables import IncidentRow

OPEN_MAX = 5_000  # that one look compares with
_COLUMNS = ", ".join(Incident.__dataclass_fields__)


class IncidentRepository:
    """Whoever watches takes a turn first; then nobody else changes incidents until the transaction ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take_turn(self) -> bool:
        """Whether nobody else watches at this moment; the turn lasts until the transaction ends."""
        found = text("SELECT pg_try_advisory_xact_lock(hashtextextended('swarmex incidents', 0))")
        return bool(self._connection.execute(found).scalar_one())

    def lock_open(self) -> list[Incident]:
        """Open incidents, locked until the transaction ends."""
        return self._select(
            f"SELECT {_COLUMNS} FROM incidents WHERE resolved_at IS NULL ORDER BY id LIMIT :limit FOR UPDATE",
            {"limit": OPEN_MAX},
        )

    def add(self, incidents: Sequence[Incident]) -> list[Incident]:
        """Record new incidents; returns those whose kind and subject had no open one."""
        if not incidents:
            return []
        insert_rows(
            self._connection,
            IncidentRow,
            [_row(incident) for incident in incidents],
            "ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING",
        )
        known = self._connection.execute(
            text("SELECT id FROM incidents WHERE id = ANY(:ids)"), {"ids": [incident.id for incident in incidents]}
        )
        added = {row.id for row in known}
        return [incident for incident in incidents if incident.id in added]

    def write(self, incidents: Sequence[Incident]) -> None:
        """Record what incidents are now."""
        kept = ("id", "severity", "summary", "details", "seen_at", "resolved_at")
        update_rows(
            self._connection, IncidentRow, [{name: _row(incident)[name] for name in kept} for incident in incidents]
        )

    def find(self, incident_id: IncidentId, *, for_update: bool = False) -> Incident | None:
        """The incident of that id."""
        lock = "FOR UPDATE" if for_update else ""
        found = self._select(f"SELECT {_COLUMNS} FROM incidents WHERE id = :id {lock}", {"id": incident_id})
        return found[0] if found else None

    def acknowledge(self, incident_id: IncidentId, account: AccountId | None, now: datetime) -> None:
        """Somebody looks into it."""
        self._connection.execute(
            text("UPDATE incidents SET acked_at = :now, acked_by = :account WHERE id = :id"),
            {"id": incident_id, "account": account, "now": now},
        )

    def newest(
        self,
        state: IncidentState | None,
        kind: IncidentKind | None,
        severity: Severity | None,
        limit: int,
        before: IncidentId | None,
    ) -> list[Incident]:
        """The newest incidents, those older than `before`."""
        return self._select(
            f"SELECT {_COLUMNS} FROM incidents WHERE (CAST(:state AS text) IS NULL"
            " OR (resolved_at IS NULL) = (:state = 'open'))"
            " AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
            " AND (CAST(:severity AS text) IS NULL OR severity = :severity)"
            " AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit",
            {"state": state, "kind": kind, "severity": severity, "before": before, "limit": limit},
        )

    def open_counts(self) -> Mapping[IncidentKind, int]:
        """How many are open of each kind that has any."""
        rows = self._connection.execute(
            text("SELECT kind, count(*) AS count FROM incidents WHERE resolved_at IS NULL GROUP BY kind")
        )
        return {IncidentKind(row.kind): row[1] for row in rows}

    def forget_before(self, before: datetime, limit: int) -> int:
        """Delete incidents that were resolved before, with what was told of them; returns how many, `limit` at most."""
        return self._connection.execute(
            text(
                "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE resolved_at < :before"
                " ORDER BY resolved_at LIMIT :limit)"
            ),
            {"before": before, "limit": limit},
        ).rowcount

    def _select(self, statement: str, binds: Mapping[str, object]) -> list[Incident]:
        rows: Any = self._connection.execute(text(statement), binds)
        return [_incident(row) for row in rows]


def _incident(row: Any) -> Incident:
    values = dict(row._mapping)
    return Incident(**values | {"kind": IncidentKind(row.kind), "severity": Severity(row.severity)})


def _row(incident: Incident) -> dict[str, Any]:
    values = values_of(incident)
    return values | {
        "kind": str(incident.kind),
        "severity": str(incident.severity),
        "details": dict(incident.details),
    }
