"""Processes: which agents are there, and which should be."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
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


class FleetRow(Base):
    """Agents that should be running: the manager makes it so."""

    __tablename__ = "fleet"
    __table_args__ = (
        one_of("kind", AgentKind),
        CheckConstraint("replicas BETWEEN 0 AND 100", name="replicas"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    arguments: Mapped[list[str]] = mapped_column(JSONB)
    replicas: Mapped[int]
