"""The market: nodes, offers, spot prices, orders, and what auctions decided."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.auctions import MECHANISMS
from backend.domain.machines import TRUST_NEW_PPM
from backend.domain.nodes import NodeState, OfferState
from backend.domain.orders import REQUESTS, SESSION, OrderState, Strategy, WorkloadKind
from backend.domain.tiers import ResourceClass, TierName
from backend.storage.tables.base import Base, Key, Nano, one_of


class NodeRow(Base):
    """A provider's machine; it is alive while an agent that serves its queue is."""

    __tablename__ = "nodes"
    __table_args__ = (
        one_of("resource_class", ResourceClass),
        one_of("state", NodeState),
        UniqueConstraint("account_id", "name"),
        CheckConstraint("slots > 0", name="has_slots"),
        CheckConstraint("busy_slots BETWEEN 0 AND slots", name="no_slot_sold_twice"),
        CheckConstraint(
            "cores > 0 AND memory_mb > 0 AND gpu_memory_mb >= 0 AND accelerators >= 0 AND latency_ms >= 0",
            name="has_hardware",
        ),
        CheckConstraint("trust_ppm BETWEEN 0 AND 1000000", name="trust_is_a_share"),
        Index(None, "resource_class", "region"),
        Index(None, "queue"),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str]
    resource_class: Mapped[str]
    region: Mapped[str]
    slots: Mapped[int]
    busy_slots: Mapped[int] = mapped_column(server_default=text("0"))
    state: Mapped[str]
    queue: Mapped[str]
    cores: Mapped[int] = mapped_column(server_default=text("1"))
    memory_mb: Mapped[int] = mapped_column(server_default=text("1024"))
    gpu_model: Mapped[str | None]
    gpu_memory_mb: Mapped[int] = mapped_column(server_default=text("0"))
    accelerators: Mapped[int] = mapped_column(server_default=text("0"))
    residency: Mapped[str | None]  # the jurisdiction that its data stays in
    latency_ms: Mapped[int] = mapped_column(server_default=text("0"))  # to its region's users, as its provider states
    trust_ppm: Mapped[int] = mapped_column(server_default=text(str(TRUST_NEW_PPM)))  # what matching may count on
    external: Mapped[bool] = mapped_column(server_default=text("false"))  # somebody else's server, with its models only
    created_at: Mapped[datetime]


class NodeModelRow(Base):
    """A model that a node has lately been leased for, so that its file is there."""

    __tablename__ = "node_models"

    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"), primary_key=True)
    used_at: Mapped[datetime]


class OfferRow(Base):
    """A node's slots at a price; a new version replaces the open one."""

    __tablename__ = "offers"
    __table_args__ = (
        one_of("state", OfferState),
        UniqueConstraint("node_id", "version"),
        CheckConstraint("ask_nano_per_slot_s > 0", name="ask_positive"),
        Index("uq_offers_open_node", "node_id", unique=True, postgresql_where=text("state = 'open'")),
    )

    id: Mapped[Key]
    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"))
    version: Mapped[int]
    ask_nano_per_slot_s: Mapped[Nano]
    state: Mapped[str]
    created_at: Mapped[datetime]


class MarketRow(Base):
    """The spot price of a resource class in a region."""

    __tablename__ = "markets"
    __table_args__ = (
        one_of("resource_class", ResourceClass),
        CheckConstraint("spot_nano_per_slot_s > 0", name="spot_positive"),
    )

    resource_class: Mapped[str] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(primary_key=True)
    spot_nano_per_slot_s: Mapped[Nano]
    utilisation_ppm: Mapped[int]
    priced_at: Mapped[datetime]


class MarketRuleRow(Base):
    """What an admin decided for a market: its auction, and the bounds of its spot price; else the defaults hold."""

    __tablename__ = "market_rules"
    __table_args__ = (
        one_of("resource_class", ResourceClass),
        one_of("mechanism", tuple(MECHANISMS)),
        CheckConstraint("0 < floor_nano AND floor_nano <= cap_nano", name="floor_below_cap"),
        CheckConstraint("target_ppm BETWEEN 1 AND 999999", name="target_is_a_share"),
    )

    resource_class: Mapped[str] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(primary_key=True)
    mechanism: Mapped[str]
    floor_nano: Mapped[Nano]
    cap_nano: Mapped[Nano]
    target_ppm: Mapped[int]


class PricePointRow(Base):
    """A market's spot price as one pricing epoch set it, and what it followed."""

    __tablename__ = "price_points"

    resource_class: Mapped[str] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    spot_nano_per_slot_s: Mapped[Nano]
    utilisation_ppm: Mapped[int]
    slots: Mapped[int]
    busy_slots: Mapped[int]
    cause: Mapped[str]


class RegionLinkRow(Base):
    """How far two regions are from one another, both ways; an admin states it."""

    __tablename__ = "region_links"
    __table_args__ = (
        CheckConstraint("region < other", name="written_once"),
        CheckConstraint("latency_ms >= 0", name="latency_positive"),
    )

    region: Mapped[str] = mapped_column(primary_key=True)
    other: Mapped[str] = mapped_column(primary_key=True)
    latency_ms: Mapped[int]


class TierRow(Base):
    """A version of a tier, in force from a moment on."""

    __tablename__ = "tier_versions"
    __table_args__ = (
        one_of("tier", TierName),
        CheckConstraint("slots_max > 0 AND request_cap_nano > 0 AND month_cap_nano > 0", name="limits_positive"),
        CheckConstraint("latency_ms_p95 > 0 AND uptime_ppm BETWEEN 0 AND 1000000", name="targets"),
        CheckConstraint("weight > 0 AND reserved_ppm BETWEEN 0 AND 1000000", name="shares"),
    )

    tier: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    classes: Mapped[list[str]] = mapped_column(JSONB)
    slots_max: Mapped[int]
    request_cap_nano: Mapped[Nano]
    month_cap_nano: Mapped[Nano]
    latency_ms_p95: Mapped[int]
    uptime_ppm: Mapped[int]
    weight: Mapped[int]
    reserved_ppm: Mapped[int]
    ladder: Mapped[list[list[int]]] = mapped_column(JSONB)  # [below uptime, credit] pairs in parts per million
    valid_from: Mapped[datetime]
    created_at: Mapped[datetime]


class OrderRow(Base):
    """A workload's wish on the market; `resource_class` and `region` are the market that it is in now."""

    __tablename__ = "orders"
    __table_args__ = (
        one_of("workload", (*WorkloadKind, SESSION, REQUESTS)),
        one_of("tier", TierName),
        one_of("strategy", Strategy),
        one_of("state", OrderState),
        CheckConstraint("slots > 0", name="slots_positive"),
        CheckConstraint("limit_nano_per_slot_s > 0", name="limit_positive"),
        CheckConstraint("charged_nano BETWEEN 0 AND worst_case_nano", name="charge_within_worst_case"),
        CheckConstraint("(state IN ('expired', 'cancelled', 'failed')) <= (reason IS NOT NULL)", name="ends_explained"),
        Index("ix_orders_open", "resource_class", "region", postgresql_where=text("state = 'open'")),
        Index("ix_orders_unsettled", "id", postgresql_where=text("state IN ('running', 'closing')")),
        Index(None, "account_id", "id"),
        Index(
            "ix_orders_sla_uncounted",
            "id",
            postgresql_where=text("sla AND sla_counted_at IS NULL AND closed_at IS NOT NULL"),
        ),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    member_id: Mapped[UUID | None]  # who of an organisation placed it
    workload: Mapped[str]
    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"))
    tier: Mapped[str]
    strategy: Mapped[str]
    resource_class: Mapped[str]
    region: Mapped[str]
    markets: Mapped[list[str]] = mapped_column(JSONB)
    slots: Mapped[int]
    limit_nano_per_slot_s: Mapped[Nano]
    worst_case_nano: Mapped[Nano]
    fee_ppm: Mapped[int]
    hold_id: Mapped[UUID] = mapped_column(ForeignKey("holds.id"))
    needs: Mapped[dict[str, object]] = mapped_column(JSONB, server_default=text("'{}'"))  # hard constraints on nodes
    interruptible: Mapped[bool] = mapped_column(server_default=text("false"))
    sla: Mapped[bool] = mapped_column(server_default=text("false"))
    sla_counted_at: Mapped[datetime | None]  # when its service went into windows: once, after its end
    state: Mapped[str]
    reason: Mapped[str | None]
    hint: Mapped[dict[str, object] | None] = mapped_column(JSONB)  # what would have matched it, by its last auction
    charged_nano: Mapped[Nano] = mapped_column(server_default=text("0"))
    placed_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    traceparent: Mapped[str | None]  # of the request that placed it
    private: Mapped[bool] = mapped_column(server_default=text("false"))  # sealed: see private_recipients


class EpochRow(Base):
    """One clearing of one market; `book_digest` binds it to the book that it saw."""

    __tablename__ = "epochs"
    __table_args__ = (
        Index(None, "resource_class", "region", "cleared_at"),
        Index("ix_epochs_kept", "cleared_at", postgresql_where=text("book IS NOT NULL")),
    )

    id: Mapped[Key]
    resource_class: Mapped[str]
    region: Mapped[str]
    mechanism: Mapped[str]
    book_digest: Mapped[bytes]
    price_nano_per_slot_s: Mapped[Nano | None]
    orders: Mapped[int]
    offers: Mapped[int]
    rules: Mapped[int] = mapped_column(server_default=text("0"))  # the version of the code that cleared it
    book: Mapped[bytes | None]  # sealed: what it was cleared from, as long as it is kept
    trades_digest: Mapped[bytes | None]
    repeats: Mapped[int] = mapped_column(server_default=text("0"))  # later epochs that saw the same and did nothing
    repeated_at: Mapped[datetime | None]
    cleared_at: Mapped[datetime]


class TradeRow(Base):
    """A match of an order with an offer at the epoch's price; `node_id` repeats the offer's.

    What it refers to is checked by a trigger, once for all rows of a statement: see `0007_references.sql`.
    """

    __tablename__ = "trades"
    __table_args__ = (CheckConstraint("slots > 0", name="slots_positive"), Index(None, "order_id"))

    id: Mapped[Key]
    epoch_id: Mapped[UUID]
    order_id: Mapped[UUID]
    offer_id: Mapped[UUID]
    node_id: Mapped[UUID]
    slots: Mapped[int]
    price_nano_per_slot_s: Mapped[Nano]
    earns_nano_per_slot_s: Mapped[Nano]  # the seller's price: below the buyer's where the auction keeps a surplus
