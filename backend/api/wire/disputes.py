"""Disputes on the wire."""

from datetime import datetime
from typing import Self
from uuid import UUID

from backend.api.wire.base import Amount, Answer, Credits, Id, Wire
from backend.api.wire.ledger import Reason
from backend.domain import disputes
from backend.domain.money import format_credits


class DisputeRequest(Wire):
    """An order whose charges are contested."""

    order: Id
    reason: Reason


class Upholding(Wire):
    """How much of what was contested the buyer gets back, all of it if not said; what payees lack, `from_fund` pays."""

    reason: Reason
    amount: Credits | None = None
    from_fund: bool = False


class Rejection(Wire):
    """Why the charges stand."""

    reason: Reason


class Dispute(Answer):
    """A contested order: what its providers have had withheld for it, and what the buyer got back."""

    id: UUID
    account: UUID
    order: UUID
    reason: str
    state: str
    withheld: Amount
    refunded: Amount | None
    resolution: str | None
    opened_at: datetime
    resolved_at: datetime | None

    @classmethod
    def of(cls, dispute: disputes.Dispute) -> Self:
        """The wire form of a dispute."""
        refunded = dispute.refunded_nano
        return cls(
            id=dispute.id,
            account=dispute.account_id,
            order=dispute.order_id,
            reason=dispute.reason,
            state=dispute.state,
            withheld=format_credits(dispute.withheld_nano),
            refunded=None if refunded is None else format_credits(refunded),
            resolution=dispute.resolution,
            opened_at=dispute.opened_at,
            resolved_at=dispute.resolved_at,
        )


class DisputeList(Answer):
    """Disputes, newest first; `next_before` continues below."""

    disputes: list[Dispute]
    next_before: UUID | None
