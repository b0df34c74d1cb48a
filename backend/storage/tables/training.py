"""Training jobs, their rounds, who took part in each, and what each node has been asked in a job."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.federated.states import FINAL, JobState, ParticipantState, RoundState
from backend.storage.tables.base import Base, Key, one_of

_FINAL = ", ".join(f"'{state}'" for state in FINAL)


class TrainingJobRow(Base):
    """A training job; `claimed_until` spares replicas each other's work, and decides nothing.

    `weights` are those after its last aggregated round (at first the initial ones), `strategy_state` what its strategy
    remembers beside them; `failed_rounds` and `stale_rounds` are counted in a row, up to the last one.
    """

    __tablename__ = "training_jobs"
    __table_args__ = (
        one_of("state", JobState),
        CheckConstraint(f"(state IN ({_FINAL})) = (ended_at IS NOT NULL)", name="ended_has_time"),
        CheckConstraint("ended_at IS NULL OR reason IS NOT NULL", name="ended_explained"),
        CheckConstraint("round >= 0 AND failed_rounds >= 0 AND stale_rounds >= 0", name="counts_not_negative"),
        Index(None, "account_id", "id"),
        Index("ix_training_jobs_due", "claimed_until", postgresql_where=text("ended_at IS NULL")),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    member_id: Mapped[UUID | None]
    trainer_model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"))
    spec: Mapped[dict[str, object]] = mapped_column(JSONB)
    state: Mapped[str]
    reason: Mapped[str | None]
    created_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime]
    round: Mapped[int] = mapped_column(server_default=text("0"))  # how many were aggregated
    failed_rounds: Mapped[int] = mapped_column(server_default=text("0"))
    weights: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    strategy_state: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    best_value: Mapped[float | None]
    best_round: Mapped[int | None]
    stale_rounds: Mapped[int] = mapped_column(server_default=text("0"))
    epsilon: Mapped[float | None]
    result_model_id: Mapped[UUID | None] = mapped_column(ForeignKey("models.id"))
    result_error: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))


class TrainingRoundRow(Base):
    """A round of a job; one that failed for want of a quorum is tried again under the same number."""

    __tablename__ = "training_rounds"
    __table_args__ = (
        one_of("state", RoundState),
        UniqueConstraint("job_id", "number", "attempt"),
        CheckConstraint("number > 0 AND attempt > 0", name="numbers_positive"),
        CheckConstraint("wanted > 0", name="wanted_positive"),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ended_has_time"),
        CheckConstraint("(state = 'aggregated') <= (weights IS NOT NULL)", name="aggregated_has_weights"),
        Index("uq_training_rounds_open", "job_id", unique=True, postgresql_where=text("state = 'open'")),
    )

    id: Mapped[Key]
    job_id: Mapped[UUID] = mapped_column(ForeignKey("training_jobs.id"))
    number: Mapped[int]
    attempt: Mapped[int]
    state: Mapped[str]
    started_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    wanted: Mapped[int]
    weights: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    metrics: Mapped[dict[str, float] | None] = mapped_column(JSONB)
    epsilon: Mapped[float | None]


class TrainingParticipantRow(Base):
    """A node in a round: its order is written in the same transaction, so a node is asked once a round at most."""

    __tablename__ = "training_participants"
    __table_args__ = (
        one_of("state", ParticipantState),
        UniqueConstraint("round_id", "node_id"),
        CheckConstraint("state IN ('asked', 'reported') OR ended_at IS NOT NULL", name="ended_has_time"),
        CheckConstraint("(state = 'accepted') <= (update_sha256 IS NOT NULL)", name="accepted_has_update"),
        CheckConstraint("(state = 'rejected') <= (reason IS NOT NULL)", name="rejected_explained"),
        Index(None, "job_id"),
    )

    id: Mapped[Key]
    round_id: Mapped[UUID] = mapped_column(ForeignKey("training_rounds.id"))
    job_id: Mapped[UUID] = mapped_column(ForeignKey("training_jobs.id"))
    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"))
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), unique=True)
    state: Mapped[str]
    reason: Mapped[str | None]
    examples: Mapped[int | None]
    update_sha256: Mapped[str | None]
    metrics: Mapped[dict[str, float] | None] = mapped_column(JSONB)
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class TrainingNodeRow(Base):
    """What a job knows of a node: its share of the data, how it did, and why it is not asked again if it declined."""

    __tablename__ = "training_nodes"
    __table_args__ = (
        UniqueConstraint("job_id", "partition"),
        CheckConstraint("partition >= 0 AND asked >= 0 AND accepted >= 0 AND failed >= 0", name="counts_not_negative"),
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("training_jobs.id"), primary_key=True)
    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    partition: Mapped[int]
    asked: Mapped[int] = mapped_column(server_default=text("0"))
    accepted: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))
    declined: Mapped[str | None]
    examples: Mapped[int | None]
    fit_us: Mapped[int | None] = mapped_column(BigInteger)
