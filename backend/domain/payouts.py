"""Payouts: a provider's earnings leave the market once an operator has approved and paid them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.access import Principal
from backend.domain.errors import Conflict, Forbidden, InsufficientFunds, Invalid
from backend.domain.ids import AccountId, HoldId, PayoutId
from backend.domain.money import AMOUNT_NANO_MAX, NANO_PER_CREDIT, format_credits

PAYOUT_MIN_NANO = 1 * NANO_PER_CREDIT  # a transfer by a bank costs more than less is worth
DESTINATION_CHARS_MAX = 200
PAYOUT_HOLD = timedelta(days=365)  # its hold is released by a decision, not by time; a row must name some


class PayoutState(StrEnum):
    """requested → approved → posted, and → returned if the bank sends it back; or rejected, or cancelled."""

    REQUESTED = "requested"
    APPROVED = "approved"
    POSTED = "posted"
    RETURNED = "returned"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


_BEFORE = {
    PayoutState.APPROVED: (PayoutState.REQUESTED,),
    PayoutState.POSTED: (PayoutState.APPROVED,),
    PayoutState.RETURNED: (PayoutState.POSTED,),
    PayoutState.REJECTED: (PayoutState.REQUESTED, PayoutState.APPROVED),
    PayoutState.CANCELLED: (PayoutState.REQUESTED,),
}


class NotEarned(InsufficientFunds):
    """A payout of more than there is of earnings that nothing else holds."""

    code = "insufficient_earnings"

    def __init__(self, error: InsufficientFunds) -> None:
        super().__init__(error.account, error.asked_nano, error.available_nano)
        self.field = "amount"
        self.accepted = f"at most {format_credits(error.available_nano)} credits; more once it is earned"


@dataclass(frozen=True, slots=True)
class Payout:
    """Earnings on their way out, in nano-credits; `reference` is the bank's, once it is paid."""

    id: PayoutId
    account_id: AccountId
    amount_nano: int
    state: PayoutState
    hold_id: HoldId
    destination: str
    requested_at: datetime
    reference: str | None = None
    reason: str | None = None
    decided_at: datetime | None = None
    decided_by: AccountId | None = None
    closed_at: datetime | None = None

    def check_step(self, to: PayoutState) -> None:
        """Raise Conflict(`payout_<state>`) unless the payout may become so now."""
        if self.state not in _BEFORE[to]:
            raise Conflict(
                f"payout {self.id} is {self.state}",
                code=f"payout_{self.state}",
                field="payout",
                accepted=f"a payout that is {' or '.join(_BEFORE[to])}",
            )

    def check_approver(self, principal: Principal) -> None:
        """Raise Forbidden(`own_payout`) to whoever would approve a payout to themselves."""
        if self.account_id in (principal.account_id, principal.actor):
            raise Forbidden(
                "nobody approves a payout of their own",
                code="own_payout",
                field="payout",
                accepted="the key of another admin",
            )


def check_request(amount_nano: int, destination: str) -> None:
    """Raise Invalid for an amount that is too small, or a destination that says nothing."""
    if not PAYOUT_MIN_NANO <= amount_nano <= AMOUNT_NANO_MAX:
        raise Invalid(
            f"{format_credits(amount_nano)} credits cannot be paid out",
            code="invalid_amount",
            field="amount",
            accepted=f"{format_credits(PAYOUT_MIN_NANO)} to {format_credits(AMOUNT_NANO_MAX)} credits",
        )
    if not (1 <= len(destination.strip()) <= len(destination) <= DESTINATION_CHARS_MAX and destination.isprintable()):
        raise Invalid(
            "the destination cannot be used",
            code="invalid_destination",
            field="destination",
            accepted=f"1 to {DESTINATION_CHARS_MAX} printable characters, as a bank needs them",
        )
