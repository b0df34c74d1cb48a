"""Payouts on the wire."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer, Credits, Text, Wire
from backend.api.wire.ledger import Reason
from backend.domain import payouts
from backend.domain.money import format_credits


class PayoutRequest(Wire):
    """Earnings to be paid out; they are held from now on."""

    amount: Credits
    destination: Text = Field(description="As a bank needs it.", examples=["DE02120300000000202051"])


class Posting(Wire):
    """That a payout was paid, under the bank's own reference for it."""

    reference: Text = Field(examples=["SEPA-2026-10-17-0042"])


class Rejection(Wire):
    """Why a payout is not made."""

    reason: Reason


class Payout(Answer):
    """Earnings on their way out."""

    id: UUID
    account: UUID
    amount: Amount
    state: str
    destination: str
    reference: str | None
    reason: str | None
    requested_at: datetime
    decided_at: datetime | None
    closed_at: datetime | None

    @classmethod
    def of(cls, payout: payouts.Payout) -> Self:
        """The wire form of a payout."""
        return cls(
            id=payout.id,
            account=payout.account_id,
            amount=format_credits(payout.amount_nano),
            state=payout.state,
            destination=payout.destination,
            reference=payout.reference,
            reason=payout.reason,
            requested_at=payout.requested_at,
            decided_at=payout.decided_at,
            closed_at=payout.closed_at,
        )


class PayoutList(Answer):
    """Payouts, newest first; `next_before` continues below."""

    payouts: list[Payout]
    next_before: UUID | None
