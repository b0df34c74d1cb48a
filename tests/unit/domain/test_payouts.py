"""Payouts: which step may follow which, as a table, and what can be asked for."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from backend.domain.access import Principal, Role
from backend.domain.errors import InsufficientFunds
from backend.domain.ids import AccountId, HoldId, PayoutId
from backend.domain.payouts import DESTINATION_CHARS_MAX, PAYOUT_MIN_NANO, NotEarned, Payout, PayoutState, check_request
from tests.unit.domain.refusals import refusal

OWNER, OTHER = AccountId(UUID(int=1)), AccountId(UUID(int=2))
ALLOWED = {
    ("requested", "approved"),
    ("requested", "rejected"),
    ("requested", "cancelled"),
    ("approved", "posted"),
    ("approved", "rejected"),
    ("posted", "returned"),
}


def payout(state: PayoutState = PayoutState.REQUESTED) -> Payout:
    now = datetime(2026, 10, 1, tzinfo=UTC)
    return Payout(PayoutId(UUID(int=3)), OWNER, 1, state, HoldId(UUID(int=4)), "bank", now)


@pytest.mark.parametrize("before", PayoutState)
@pytest.mark.parametrize("after", [s for s in PayoutState if s is not PayoutState.REQUESTED])
def test_a_payout_goes_forward_only(before: PayoutState, after: PayoutState) -> None:
    if (before, after) in ALLOWED:
        payout(before).check_step(after)
    else:
        refused = refusal(lambda: payout(before).check_step(after))
        assert (refused.code, refused.field) == (f"payout_{before}", "payout")


def test_another_account_approves_it() -> None:
    payout().check_approver(Principal(None, OTHER, Role.ADMIN))
    for own in (Principal(None, OWNER, Role.ADMIN), Principal(None, OTHER, Role.ADMIN, OWNER)):
        assert refusal(lambda own=own: payout().check_approver(own)).code == "own_payout"  # type: ignore[misc]


def test_an_amount_below_the_least_and_a_destination_that_says_nothing_are_refused() -> None:
    check_request(PAYOUT_MIN_NANO, "x" * DESTINATION_CHARS_MAX)
    for nano in (0, PAYOUT_MIN_NANO - 1, 10**18 + 1):
        assert refusal(lambda nano=nano: check_request(nano, "bank")).code == "invalid_amount"  # type: ignore[misc]
    for text in ("", "  ", "a\tb", "x" * (DESTINATION_CHARS_MAX + 1)):
        assert refusal(lambda text=text: check_request(PAYOUT_MIN_NANO, text)).field == "destination"  # type: ignore[misc]


def test_more_than_was_earned_is_told_with_what_there_is() -> None:
    refused = NotEarned(InsufficientFunds(OWNER, 5, 2))
    assert (refused.code, refused.field) == ("insufficient_earnings", "amount")
    assert "0.000000002" in str(refused.accepted)
