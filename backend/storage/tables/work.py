"""What runs: models, leases, session windows, work items, units, and the outbox of messages still to be sent."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.leases import ItemState, LeaseState, WindowState
from backend.domain.registry import Format, Stage
from backend.storage.tables.base import Base, Key, Nano, one_of


class ModelRow(Base):
    """A registered model file with its measured time."""

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        UniqueConstraint("name", "checksum"),
        CheckConstraint("us_per_call > 0 AND us_per_row > 0", name="profiled"),
        one_of("stage", Stage),
        one_of("format", Format),
        Index(
            "uq_models_in_production",
            "name",
            unique=True,
            postgresql_where=text("stage = 'production' AND deleted_at IS NULL"),
        ),
    )

    id: Mapped[Key]
    name: Mapped[str]
    version: Mapped[int]
    checksum: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    uri: Mapped[str]
    signature: Mapped[dict[str, object]] = mapped_column(JSONB)
    us_per_call: Mapped[int]
    us_per_row: Mapped[int]
    created_at: Mapped[datetime]
    format: Mapped[str] = mapped_column(server_default=text("'onnx'"))
    stage: Mapped[str] = mapped_column(server_default=text("'none'"))
    description: Mapped[str] = mapped_column(server_default=text("''"))
    tags: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'"))
    deleted_at: Mapped[datetime | None]  # not offered to new work; what was ordered of it can still run


class LeaseRow(Base):
    """The right to slots of a node that a trade gave to an order.

    `order_id` repeats the trade's, which is checked there; trade and node are checked by a trigger, as those of trades
    are. The node is the trade's until balancing moves the lease to another.
    """

    __tablename__ = "leases"
    __table_args__ = (
        one_of("state", LeaseState),
        CheckConstraint("(state = 'ended') = (ended_at IS NOT NULL)", name="ended_has_time"),
        Index(None, "order_id"),
        Index("ix_leases_active_node", "node_id", postgresql_where=text("state = 'active'")),
        Index("ix_leases_leaving", "leave_at", postgresql_where=text("state = 'active' AND leave_at IS NOT NULL")),
    )

    id: Mapped[Key]
    trade_id: Mapped[UUID]
    order_id: Mapped[UUID]
    node_id: Mapped[UUID]
    slots: Mapped[int]
    price_nano_per_slot_s: Mapped[Nano]
    earns_nano_per_slot_s: Mapped[Nano]  # the provider's, of which the market's fee is taken
    state: Mapped[str]
    granted_at: Mapped[datetime]
    paused_at: Mapped[datetime | None]  # since when a session lease waits for funds
    leave_at: Mapped[datetime | None]  # when it gives its slots to an order that goes before it
    measured: Mapped[dict[str, object] | None] = mapped_column(
        JSONB
    )  # of its session's SLA, what is in windows already
    ended_at: Mapped[datetime | None]


class WindowRow(Base):
    """A prepaid stretch of a session lease."""

    __tablename__ = "windows"
    __table_args__ = (
        one_of("state", WindowState),
        UniqueConstraint("lease_id", "seq"),
        Index("ix_windows_open", "ends_at", postgresql_where=text("state = 'open'")),
    )

    id: Mapped[Key]
    lease_id: Mapped[UUID] = mapped_column(ForeignKey("leases.id"))
    seq: Mapped[int]
    hold_id: Mapped[UUID] = mapped_column(ForeignKey("holds.id"), unique=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    state: Mapped[str]


class UnitRow(Base):
    """A message's worth of items for one queue; sent again when nobody takes it in time."""

    __tablename__ = "units"

    id: Mapped[Key]
    queue: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger)
    sends: Mapped[int]
    resend_at: Mapped[datetime]
    items: Mapped[int] = mapped_column(server_default=text("0"))  # that were put into it
    traces: Mapped[str | None]  # `traceparent`s of its orders, with commas; some of them, if they are many


class ItemRow(Base):
    """One request to run; `fence` grows with every claim, and a commit must carry the latest.

    One that is `judged` is reported when it ran, and charged only once it is accepted. What it refers to is checked by
    a trigger when it is inserted, and by the statement that gives it its lease: see `0008_items.sql`.
    """

    __tablename__ = "work_items"
    __table_args__ = (
        one_of("state", ItemState),
        UniqueConstraint("order_id", "seq"),
        CheckConstraint("billed_us IS NULL OR billed_us BETWEEN 0 AND us_max", name="billed_within_profile"),
        CheckConstraint(
            "(state IN ('reported', 'committed', 'settled', 'rejected')) = (outputs IS NOT NULL)",
            name="committed_has_outputs",
        ),
        CheckConstraint("judged OR state NOT IN ('reported', 'rejected')", name="only_judged_reported"),
        CheckConstraint(
            "state IN ('waiting', 'cancelled', 'dead') OR (lease_id IS NOT NULL AND unit_id IS NOT NULL)",
            name="placed_has_lease",
        ),
        Index("ix_work_items_unit", "unit_id", postgresql_where=text("state IN ('queued', 'running')")),
        Index("ix_work_items_claims", "claimed_until", postgresql_where=text("state = 'running'")),
        Index("ix_work_items_committed", "order_id", postgresql_where=text("state = 'committed'")),
        Index("ix_work_items_reported", "order_id", postgresql_where=text("state = 'reported'")),
        Index("ix_work_items_dead", "order_id", postgresql_where=text("state = 'dead'")),
        Index("ix_work_items_waiting", "order_id", postgresql_where=text("state = 'waiting'")),
        {"postgresql_with": {"fillfactor": 50}},  # it is written five times within seconds, on the same page
    )

    id: Mapped[Key]
    order_id: Mapped[UUID]
    seq: Mapped[int]
    rows: Mapped[int]
    us_max: Mapped[int] = mapped_column(BigInteger)
    inputs: Mapped[bytes]
    state: Mapped[str]
    lease_id: Mapped[UUID | None]
    unit_id: Mapped[UUID | None]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    agent_id: Mapped[UUID | None]
    claimed_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime | None]
    committed_at: Mapped[datetime | None]
    reported_us: Mapped[int | None] = mapped_column(BigInteger)
    billed_us: Mapped[int | None] = mapped_column(BigInteger)
    charged_nano: Mapped[Nano | None]
    outputs: Mapped[bytes | None]
    error: Mapped[str | None]
    judged: Mapped[bool] = mapped_column(server_default=text("false"))


class PayloadMarkRow(Base):
    """Up to which order the requests and answers of items are forgotten: one row."""

    __tablename__ = "payload_mark"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    up_to: Mapped[UUID]


class OutboxRow(Base):
    """A message that a committed transaction still owes the broker; one row per dispatch."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_unsent", "id", postgresql_where=text("sent_at IS NULL")),)

    id: Mapped[Key]
    unit_id: Mapped[UUID] = mapped_column(ForeignKey("units.id"))
    queue: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
