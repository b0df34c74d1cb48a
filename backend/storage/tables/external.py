"""Nodes that are an inference server of somebody else's: where it is, what it is shown, and how it was found last."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.external_nodes import ServerState
from backend.storage.tables.base import Base, one_of


class ExternalNodeRow(Base):
    """A server that stands for a node; gone when the node is one no more."""

    __tablename__ = "external_nodes"
    __table_args__ = (one_of("state", ServerState),)

    node_id: Mapped[UUID] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    url: Mapped[str]
    credential: Mapped[str | None]  # what it is shown as `Authorization`; shown to nobody else
    public_only: Mapped[bool]  # whether its addresses must be public
    added_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(server_default=text("'new'"))
    told: Mapped[str | None]  # why it is down, or what is wrong with its models
    checked_at: Mapped[datetime | None]
