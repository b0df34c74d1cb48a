"""What was measured of providers: evidence about nodes, and windows of promised service."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.sla import SlaState
from backend.domain.tiers import TierName
from backend.domain.trust import Evidence
from backend.storage.tables.base import Base, Key, Nano, one_of


class TrustEventRow(Base):
    """Something that a node did well or badly, in the service of somebody or found by the market itself."""

    __tablename__ = "trust_events"
    __table_args__ = (
        one_of("kind", Evidence),
        CheckConstraint("count > 0", name="count_positive"),
        Index(None, "node_id", "id"),
    )

    id: Mapped[Key]
    node_id: Mapped[UUID]  # no foreign key: its check would lock nodes out of their order while money is settled
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))  # None: the market's own canary
    kind: Mapped[str]
    count: Mapped[int]
    at: Mapped[datetime]


class SlaWindowRow(Base):
    """What a provider did for an account in a tier, from one moment until it has lasted or counted enough."""

    __tablename__ = "sla_windows"
    __table_args__ = (
        one_of("tier", TierName),
        one_of("state", SlaState),
        CheckConstraint("requests >= 0 AND failures BETWEEN 0 AND requests", name="failures_are_requests"),
        CheckConstraint("credit_nano BETWEEN 0 AND charged_nano", name="credit_within_charge"),
        CheckConstraint("credit_nano <= withheld_nano", name="credit_within_withheld"),
        CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name="closed_has_time"),
        Index(
            "uq_sla_windows_open",
            "account_id",
            "provider_id",
            "tier",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
        Index(None, "account_id", "id"),
        Index(None, "provider_id", "id"),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    provider_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    tier: Mapped[str]
    state: Mapped[str]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    requests: Mapped[int] = mapped_column(server_default=text("0"))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    histogram: Mapped[list[int]] = mapped_column(JSONB)  # requests per bucket of latency
    charged_nano: Mapped[Nano] = mapped_column(server_default=text("0"))
    withheld_nano: Mapped[Nano] = mapped_column(server_default=text("0"))
    latency_ms_p95: Mapped[int | None]
    uptime_ppm: Mapped[int | None]
    credit_ppm: Mapped[int | None]
    credit_nano: Mapped[Nano] = mapped_column(server_default=text("0"))


class SlaShareRow(Base):
    """How much of an order's withheld earnings a window holds; given back, or paid out of, when it closes."""

    __tablename__ = "sla_shares"
    __table_args__ = (CheckConstraint("withheld_nano >= 0 AND charged_nano >= 0", name="shares_positive"),)

    window_id: Mapped[UUID] = mapped_column(ForeignKey("sla_windows.id"), primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    charged_nano: Mapped[Nano]
    withheld_nano: Mapped[Nano]


class SlaSessionShareRow(Base):
    """The same of a session's prepaid window: in one SLA window, once."""

    __tablename__ = "sla_session_shares"
    __table_args__ = (
        CheckConstraint("withheld_nano >= 0 AND charged_nano >= 0", name="shares_positive"),
        Index(None, "window_id"),
    )

    session_window_id: Mapped[UUID] = mapped_column(ForeignKey("windows.id"), primary_key=True)
    window_id: Mapped[UUID] = mapped_column(ForeignKey("sla_windows.id"))
    charged_nano: Mapped[Nano]
    withheld_nano: Mapped[Nano]
