"""What was set for single keys beside the limits that everybody has."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.rates import SetBy
from backend.storage.tables.base import Base, one_of


class KeyLimitRow(Base):
    """Limits of a key as the operator or its owner set them; NULL leaves one as it is without."""

    __tablename__ = "key_limits"
    __table_args__ = (
        one_of("side", SetBy),
        CheckConstraint("requests_per_minute > 0", name="requests_positive"),
        CheckConstraint("tokens_per_minute > 0", name="tokens_positive"),
        CheckConstraint("in_flight > 0", name="in_flight_positive"),
        CheckConstraint("num_nonnulls(requests_per_minute, tokens_per_minute, in_flight) > 0", name="limits_something"),
    )

    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    side: Mapped[str] = mapped_column(primary_key=True)
    requests_per_minute: Mapped[int | None]
    tokens_per_minute: Mapped[int | None]
    in_flight: Mapped[int | None]
    set_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))  # None: at the machine itself
    created_at: Mapped[datetime]
