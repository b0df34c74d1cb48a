"""The fleet that should be running, who manages it, and why its entries were resized."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, text

from backend.domain.fleet import AgentKind, FleetSpec, Resources
from backend.domain.ids import AgentId
from backend.domain.scaling import policy_of
from backend.storage.rows import insert_rows
from backend.storage.tables import FleetRow, ScalingRow

_ENTRY = "name, kind, arguments, replicas, replicas_min, replicas_max, image, cpu, memory_mb, policy"


@dataclass(frozen=True, slots=True)
class Resize:
    """A decision on an entry's replicas, and why."""

    id: UUID
    name: str
    at: datetime
    replicas_before: int
    replicas_after: int
    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class Manager:
    """The manager that counts."""

    generation: int
    manager_id: AgentId
    taken_at: datetime
    beat_at: datetime


class FleetRepository:
    """What the manager should keep running."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def desired(self) -> list[FleetSpec]:
        """Every entry, by name."""
        return self._entries(f"SELECT {_ENTRY} FROM fleet ORDER BY name", {})

    def find(self, name: str, *, for_update: bool = False) -> FleetSpec | None:
        """The entry of that name."""
        lock = "FOR UPDATE" if for_update else ""
        found = self._entries(f"SELECT {_ENTRY} FROM fleet WHERE name = :name {lock}", {"name": name})
        return found[0] if found else None

    def lock_kind(self, kind: AgentKind) -> list[FleetSpec]:
        """The entries of a kind, row-locked in the order of their names until the transaction ends."""
        return self._entries(f"SELECT {_ENTRY} FROM fleet WHERE kind = :kind ORDER BY name FOR UPDATE", {"kind": kind})

    def add(self, spec: FleetSpec) -> bool:
        """Want a further entry; False if there is one of that name."""
        return insert_rows(self._connection, FleetRow, [_row(spec)], "ON CONFLICT (name) DO NOTHING") > 0

    def set_desired(self, specs: Sequence[FleetSpec]) -> None:
        """Add or change entries; others stay as they are."""
        assigned = ", ".join(f"{column} = excluded.{column}" for column in _ENTRY.split(", ")[1:])
        insert_rows(
            self._connection,
            FleetRow,
            [_row(spec) for spec in specs],
            f"ON CONFLICT (name) DO UPDATE SET {assigned}",
        )

    def remove(self, name: str) -> None:
        """Want this entry no more, and forget the decisions on it."""
        self._connection.execute(delete(FleetRow).where(FleetRow.name == name))
        self._connection.execute(delete(ScalingRow).where(ScalingRow.name == name))

    def resize(self, before: Mapping[str, int], after: Mapping[str, int]) -> set[str]:
        """Change the replicas of entries with a policy, where they still are what they were; returns their names."""
        rows = self._connection.execute(
            text("""
                UPDATE fleet f SET replicas = v.after
                FROM unnest(CAST(:names AS text[]), CAST(:before AS int[]), CAST(:after AS int[]))
                     AS v (name, before, after)
                WHERE f.name = v.name AND f.replicas = v.before AND f.policy IS NOT NULL
                AND v.after BETWEEN f.replicas_min AND f.replicas_max RETURNING f.name
            """),
            {"names": list(after), "before": [before[name] for name in after], "after": list(after.values())},
        )
        return {row.name for row in rows}

    def remember(self, decisions: Sequence[Resize], kept: int) -> None:
        """Keep these decisions, and of each of their entries the last `kept` in all."""
        insert_rows(self._connection, ScalingRow, [asdict(decision) for decision in decisions])
        self._connection.execute(
            text("""
                DELETE FROM fleet_decisions WHERE id IN (
                    SELECT id FROM (
                        SELECT id, row_number() OVER (PARTITION BY name ORDER BY id DESC) AS place
                        FROM fleet_decisions WHERE name = ANY(:names)
                    ) d WHERE place > :kept
                )
            """),
            {"names": sorted({decision.name for decision in decisions}), "kept": kept},
        )

    def decisions(self, name: str, limit: int) -> list[Resize]:
        """The newest decisions on an entry, the newest first."""
        rows: Any = self._connection.execute(
            text(
                "SELECT id, name, at, replicas_before, replicas_after, cause, reason FROM fleet_decisions"
                " WHERE name = :name ORDER BY id DESC LIMIT :limit"
            ),
            {"name": name, "limit": limit},
        )
        return [Resize(*row) for row in rows]

    def take_over(self, manager_id: AgentId, now: datetime) -> int:
        """Become the manager that counts; returns the generation, above all before."""
        return int(
            self._connection.execute(
                text("""
                    INSERT INTO fleet_managers (id, generation, manager_id, taken_at, beat_at)
                    VALUES (1, 1, :manager, :now, :now)
                    ON CONFLICT (id) DO UPDATE SET generation = fleet_managers.generation + 1, manager_id = :manager,
                        taken_at = :now, beat_at = :now
                    RETURNING generation
                """),
                {"manager": manager_id, "now": now},
            ).scalar_one()
        )

    def manage(self, generation: int, now: datetime) -> bool:
        """Say that the manager of this generation is there; False if another one has taken over."""
        beaten = self._connection.execute(
            text("UPDATE fleet_managers SET beat_at = :now WHERE generation = :generation"),
            {"generation": generation, "now": now},
        )
        return beaten.rowcount > 0

    def manager(self) -> Manager | None:
        """The manager that counts, if there ever was one."""
        row: Any = self._connection.execute(
            text("SELECT generation, manager_id, taken_at, beat_at FROM fleet_managers")
        ).one_or_none()
        return None if row is None else Manager(*row)

    def _entries(self, statement: str, binds: dict[str, Any]) -> list[FleetSpec]:
        return [_spec(row) for row in self._connection.execute(text(statement), binds)]


def _row(spec: FleetSpec) -> dict[str, object]:
    resources = spec.resources or Resources()
    return {
        "name": spec.name,
        "kind": str(spec.kind),
        "arguments": list(spec.arguments),
        "replicas": spec.replicas,
        "replicas_min": spec.replicas_min,
        "replicas_max": spec.replicas_max,
        "image": spec.image,
        "cpu": resources.cpu,
        "memory_mb": resources.memory_mb,
        "policy": spec.policy and spec.policy.wire(),
    }


def _spec(row: Any) -> FleetSpec:
    resources = Resources(row.cpu, row.memory_mb)
    return FleetSpec(
        row.name,
        AgentKind(row.kind),
        tuple(row.arguments),
        row.replicas,
        row.replicas_min,
        row.replicas_max,
        row.image,
        None if resources == Resources() else resources,
        None if row.policy is None else policy_of(row.policy),
    )
