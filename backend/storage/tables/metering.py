"""Usage that other systems report, and the versioned prices that it is rated at."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.metering import UsageState
from backend.storage.tables.base import Base, Key, Nano, one_of


class MeterRow(Base):
    """Something that is counted: the CloudEvents type that it is reported by, its unit, and whom it pays."""

    __tablename__ = "meters"

    name: Mapped[str] = mapped_column(primary_key=True)
    unit: Mapped[str]
    provider_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))  # None: the market itself, as a fee
    created_at: Mapped[datetime]


class MeterPriceRow(Base):
    """The price of a unit from a moment on; a later version may begin in the past, and then usage is rated anew."""

    __tablename__ = "meter_prices"
    __table_args__ = (CheckConstraint("nano_per_unit >= 0", name="price_not_negative"),)

    meter: Mapped[str] = mapped_column(ForeignKey("meters.name"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    nano_per_unit: Mapped[Nano]
    valid_from: Mapped[datetime]
    created_at: Mapped[datetime]


class UsageRow(Base):
    """One event, once per source and event id; what it cost, at which version of the price."""

    __tablename__ = "usage_events"
    __table_args__ = (
        one_of("state", UsageState),
        UniqueConstraint("source", "event_id"),
        CheckConstraint("quantity_micro >= 0", name="quantity_not_negative"),
        CheckConstraint("amount_nano >= 0", name="amount_not_negative"),
        CheckConstraint("(state = 'charged') <= (transfer_id IS NOT NULL)", name="charged_by_a_transfer"),
        Index("ix_usage_events_unpaid", "id", postgresql_where=text("state = 'unpaid'")),
        Index(None, "account_id", "id"),
        Index(None, "meter", "occurred_at"),
    )

    id: Mapped[Key]
    source: Mapped[str]
    event_id: Mapped[str]
    digest: Mapped[bytes]
    meter: Mapped[str] = mapped_column(ForeignKey("meters.name"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    quantity_micro: Mapped[int] = mapped_column(BigInteger)
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    price_version: Mapped[int]
    amount_nano: Mapped[Nano]
    state: Mapped[str]
    transfer_id: Mapped[UUID | None]
