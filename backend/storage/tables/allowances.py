"""Allowances and pooled leases: which gateway has them, which of its reports were taken, and what was used."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.storage.tables.base import Base, Key, Nano


class GatewayRow(Base):
    """A gateway process that has allowances or pooled leases, and when it was last heard of."""

    __tablename__ = "gateways"

    id: Mapped[Key]
    seen_at: Mapped[datetime]


class GatewayOrderRow(Base):
    """An allowance or a pooled lease, which are orders, of a gateway; `seq` is that of the last report taken.

    Without a foreign key to the gateway: its row goes when it has nothing open any more. `is_open` is set back some
    time after the order's end, so that what is looked through stays short.
    """

    __tablename__ = "gateway_orders"
    __table_args__ = (Index("ix_gateway_orders_open", "gateway_id", postgresql_where=text("is_open")),)

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    gateway_id: Mapped[UUID]
    seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    is_open: Mapped[bool] = mapped_column(server_default=text("true"))


class PooledUseRow(Base):
    """What an allowance was used for on one lease."""

    __tablename__ = "pooled_uses"
    __table_args__ = (CheckConstraint("requests > 0 AND busy_us >= 0 AND charged_nano >= 0", name="used"),)

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    lease_id: Mapped[UUID] = mapped_column(ForeignKey("leases.id"), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    busy_us: Mapped[int] = mapped_column(BigInteger)
    charged_nano: Mapped[Nano]
