"""What agents share: facts, named resources, and tasks that several of them work on."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.joint_tasks import JoinPolicy, PartState, TaskState
from backend.storage.tables.base import Base, Key, one_of


class FactRow(Base):
    """Something that one agent lets the others know; versions come from one sequence, so none is used twice."""

    __tablename__ = "facts"
    __table_args__ = (
        Index(None, "owner"),
        Index("ix_facts_expiry", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[object] = mapped_column(JSONB)
    owner: Mapped[str]
    version: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None]
    written_at: Mapped[datetime]


class NamedLeaseRow(Base):
    """Who has a resource until when; the row stays when nobody has it, since its fence must never go back."""

    __tablename__ = "named_leases"
    __table_args__ = (
        CheckConstraint("(holder IS NULL) = (expires_at IS NULL)", name="held_until"),
        CheckConstraint("fence >= 0", name="fence_counts"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str | None]
    fence: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None]


class JointTaskRow(Base):
    """A task of several parts, and how it was decided."""

    __tablename__ = "joint_tasks"
    __table_args__ = (
        one_of("state", TaskState),
        one_of("policy", JoinPolicy),
        CheckConstraint("(policy = 'quorum') = (quorum IS NOT NULL)", name="quorum_by_policy"),
        CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="decided_has_time"),
        Index("ix_joint_tasks_open", "kind", "id", postgresql_where=text("state = 'open'")),
        Index("ix_joint_tasks_decided", "decided_at", postgresql_where=text("decided_at IS NOT NULL")),
    )

    id: Mapped[Key]
    kind: Mapped[str]
    policy: Mapped[str]
    quorum: Mapped[int | None]
    parts: Mapped[int]
    opener: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    created_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]


class JointPartRow(Base):
    """One part; `fence` grows with every claim, and a result must carry the latest."""

    __tablename__ = "joint_parts"
    __table_args__ = (
        one_of("state", PartState),
        CheckConstraint("(state = 'claimed') = (claimed_until IS NOT NULL)", name="claimed_until_then"),
        CheckConstraint("(state = 'done') = (result IS NOT NULL)", name="done_has_result"),
        Index("ix_joint_parts_waiting", "task_id", "seq", postgresql_where=text("state = 'waiting'")),
        Index("ix_joint_parts_claims", "claimed_until", postgresql_where=text("state = 'claimed'")),
    )

    task_id: Mapped[UUID] = mapped_column(ForeignKey("joint_tasks.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    payload: Mapped[object] = mapped_column(JSONB)
    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    claimer: Mapped[str | None]
    claimed_until: Mapped[datetime | None]
    result: Mapped[object | None] = mapped_column(JSONB)
    error: Mapped[str | None]
