"""The market: nodes, offers, spot prices, orders, and what auctions decided."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.nodes import NodeState, OfferState
from backend.domain.orders import SESSION, OrderState, Strategy, WorkloadKind
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
    created_at: Mapped[datetime]


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


class OrderRow(Base):
    """A workload's wish on the market; `resource_class` and `region` are the market that it is in now."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(f"workload IN ({', '.join(repr(str(w)) for w in (*WorkloadKind, SESSION))})", name="workload"),
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
    state: Mapped[str]
    reason: Mapped[str | None]
    charged_nano: Mapped[Nano] = mapped_column(server_default=text("0"))
    placed_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class EpochRow(Base):
    """One clearing of one market; `book_digest` binds it to the book that it saw."""

    __tablename__ = "epochs"
    __table_args__ = (Index(None, "resource_class", "region", "cleared_at"),)

    id: Mapped[Key]
    resource_class: Mapped[str]
    region: Mapped[str]
    mechanism: Mapped[str]
    book_digest: Mapped[bytes]
    price_nano_per_slot_s: Mapped[Nano | None]
    orders: Mapped[int]
    offers: Mapped[int]
    cleared_at: Mapped[datetime]


class TradeRow(Base):
    """A match of an order with an offer at the epoch's price."""

    __tablename__ = "trades"
    __table_args__ = (CheckConstraint("slots > 0", name="slots_positive"), Index(None, "order_id"))

    id: Mapped[Key]
    epoch_id: Mapped[UUID] = mapped_column(ForeignKey("epochs.id"))
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    offer_id: Mapped[UUID] = mapped_column(ForeignKey("offers.id"))
    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"))
    slots: Mapped[int]
    price_nano_per_slot_s: Mapped[Nano]
