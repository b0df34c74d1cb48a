"""Processes: which agents are there, which should be, who manages them, and why their number changed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.fleet import AgentKind, AgentState
from backend.storage.tables.base import Base, Key, one_of


class AgentRow(Base):
    """A process of ours, by its own signs of life."""

    __tablename__ = "agents"
    __table_args__ = (one_of("kind", AgentKind), one_of("state", AgentState), Index(None, "queue", "beat_at"))

    id: Mapped[Key]
    kind: Mapped[str]
    name: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    queue: Mapped[str | None]
    endpoint: Mapped[str | None]
    token: Mapped[str | None]
    state: Mapped[str]
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]
    work_done: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))  # since it started
    work_waiting: Mapped[bool] = mapped_column(server_default=text("false"))
    tick_age_ms: Mapped[int | None] = mapped_column(BigInteger)  # for how long its loop had not turned


class FleetRow(Base):
    """Agents that should be running: the manager makes it so."""

    __tablename__ = "fleet"
    __table_args__ = (
        one_of("kind", AgentKind),
        CheckConstraint("replicas BETWEEN 0 AND 100", name="replicas"),
        CheckConstraint("replicas_min <= replicas AND replicas <= replicas_max", name="within_bounds"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    arguments: Mapped[list[str]] = mapped_column(JSONB)
    replicas: Mapped[int]
    replicas_min: Mapped[int] = mapped_column(server_default=text("0"))
    replicas_max: Mapped[int] = mapped_column(server_default=text("100"))
    image: Mapped[str | None]
    cpu: Mapped[float | None]
    memory_mb: Mapped[int | None]
    policy: Mapped[dict[str, int] | None] = mapped_column(JSONB(none_as_null=True))


class FleetManagerRow(Base):
    """The manager that counts: whoever starts takes the next generation, and older ones see it and end."""

    __tablename__ = "fleet_managers"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[int] = mapped_column(BigInteger)
    manager_id: Mapped[UUID]
    taken_at: Mapped[datetime]
    beat_at: Mapped[datetime]


class ScalingRow(Base):
    """A decision on an entry's replicas; the last ones of each entry are kept."""

    __tablename__ = "fleet_decisions"
    __table_args__ = (Index(None, "name", "id"),)

    id: Mapped[Key]
    name: Mapped[str]
    at: Mapped[datetime]
    replicas_before: Mapped[int]
    replicas_after: Mapped[int]
    cause: Mapped[str]
    reason: Mapped[str]
