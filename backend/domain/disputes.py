"""Disputes: a user contests what an order was charged, an admin upholds or rejects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.errors import Conflict
from backend.domain.ids import AccountId, DisputeId, OrderId

DISPUTE_DAYS = 60  # after an order's end: as long as it may be contested


class DisputeState(StrEnum):
    """A dispute is resolved once."""

    OPEN = "open"
    UPHELD = "upheld"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Dispute:
    """An order whose charges its account contests; amounts in nano-credits.

    `withheld_nano` is what its providers still had of its charges when it was opened, `refunded_nano` what the buyer
    got back when it was resolved.
    """

    id: DisputeId
    account_id: AccountId
    order_id: OrderId
    reason: str
    state: DisputeState
    withheld_nano: int
    opened_at: datetime
    refunded_nano: int | None = None
    resolution: str | None = None
    resolved_at: datetime | None = None
    resolved_by: AccountId | None = None

    def check_open(self) -> None:
        """Raise Conflict(`dispute_resolved`) if it is resolved."""
        if self.state is not DisputeState.OPEN:
            raise Conflict(
                f"dispute {self.id} is {self.state}",
                code="dispute_resolved",
                field="dispute",
                accepted="an open dispute",
            )


def check_contestable(order_id: OrderId, closed_at: datetime | None, contested_nano: int, now: datetime) -> None:
    """Raise Conflict for an order that runs still, was over too long ago, or has nothing left to give back."""
    code = None
    if closed_at is None:
        code, why = "order_not_closed", "has not ended"
    elif now > closed_at + timedelta(days=DISPUTE_DAYS):
        code, why = "dispute_too_late", f"ended on {closed_at:%Y-%m-%d}"
    elif contested_nano <= 0:
        code, why = "nothing_charged", "was charged nothing that was not given back"
    if code:
        raise Conflict(
            f"order {order_id} {why}",
            code=code,
            field="order",
            accepted=f"an order that was charged for and ended within the last {DISPUTE_DAYS} days",
        )


def shares(amounts_nano: Sequence[int], of_nano: int) -> list[int]:
    """`of_nano` split over amounts in their proportion: never more than an amount, exact in sum.

    `of_nano` is at most the sum of the amounts. Rounding is cumulative: what one loses the next one gains.
    """
    total, seen, given, parts = sum(amounts_nano), 0, 0, []
    for amount in amounts_nano:
        seen += amount
        parts.append(of_nano * seen // total - given)
        given += parts[-1]
    return parts
