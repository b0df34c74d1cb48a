"""Disputes: what can be contested, and how what is given back is split."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.disputes import DISPUTE_DAYS, Dispute, DisputeState, check_contestable, shares
from backend.domain.ids import AccountId, DisputeId, OrderId
from tests.unit.domain.refusals import refusal

NOW = datetime(2026, 10, 1, tzinfo=UTC)
ORDER = OrderId(UUID(int=1))
FRESH = NOW - timedelta(days=DISPUTE_DAYS)


@pytest.mark.parametrize(
    ("closed_at", "contested_nano", "code"),
    [
        (None, 1, "order_not_closed"),
        (FRESH - timedelta(microseconds=1), 1, "dispute_too_late"),
        (FRESH, 0, "nothing_charged"),
        (FRESH, -1, "nothing_charged"),
    ],
)
def test_what_cannot_be_contested(closed_at: datetime | None, contested_nano: int, code: str) -> None:
    refused = refusal(lambda: check_contestable(ORDER, closed_at, contested_nano, NOW))
    assert (refused.code, refused.field) == (code, "order")


def test_an_order_can_be_contested_until_its_last_day() -> None:
    check_contestable(ORDER, FRESH, 1, NOW)


@pytest.mark.parametrize("state", [DisputeState.UPHELD, DisputeState.REJECTED])
def test_a_dispute_is_resolved_once(state: DisputeState) -> None:
    def dispute(state: DisputeState) -> Dispute:
        return Dispute(DisputeId(UUID(int=2)), AccountId(UUID(int=3)), ORDER, "why", state, 0, NOW)

    dispute(DisputeState.OPEN).check_open()
    assert refusal(dispute(state).check_open).code == "dispute_resolved"


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=20), st.data())
def test_shares_are_exact_in_sum_fair_to_a_nano_and_never_above_an_amount(
    amounts: list[int], data: st.DataObject
) -> None:
    of = data.draw(st.integers(0, sum(amounts)))
    parts = shares(amounts, of)
    assert sum(parts) == of
    for part, amount in zip(parts, amounts, strict=True):
        assert 0 <= part <= amount
        assert abs(part * sum(amounts) - amount * of) < 2 * sum(amounts)
