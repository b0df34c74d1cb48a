"""What can never be served is refused before anything else is looked at; and how orders end."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.machines import Needs
from backend.domain.orders import (
    DEADLINE_S_MAX,
    ITEMS_PER_ORDER_MAX,
    CloseReason,
    OrderState,
    Strategy,
    check_request,
    final_state,
)
from backend.domain.tiers import TIERS, TierName
from tests.unit.domain.placements import BODY, request
from tests.unit.domain.refusals import refusal

TRAINING_JOBS = "inference, batch; training: POST /api/v1/training-jobs"


@given(st.sampled_from(TierName), st.sampled_from(Strategy), st.integers(0, DEADLINE_S_MAX), st.data())
def test_what_is_within_its_tiers_limits_is_accepted(
    tier: TierName, strategy: Strategy, deadline_s: int, data: st.DataObject
) -> None:
    workload, most = data.draw(st.sampled_from([("inference", 1), ("batch", ITEMS_PER_ORDER_MAX)]))
    asked = request(
        workload=workload,
        tier=tier.value,
        priority=strategy.value,
        deadline_s=deadline_s,
        slots=data.draw(st.integers(1, TIERS[tier].slots_max)),
        requests=[BODY] * data.draw(st.integers(1, most)),
    )
    assert check_request(asked, TIERS[tier]) is strategy


@pytest.mark.parametrize(
    ("changes", "code", "field", "accepted"),
    [
        ({"workload": "mining"}, "invalid_workload", "workload", "inference, batch"),
        ({"workload": "INFERENCE"}, "invalid_workload", "workload", "inference, batch"),
        ({"workload": "session"}, "invalid_workload", "workload", "inference, batch"),
        ({"workload": "training"}, "workload_not_offered", "workload", TRAINING_JOBS),
        ({"workload": "training", "participants": 10}, "workload_not_offered", "workload", TRAINING_JOBS),
        ({"priority": "speed"}, "invalid_priority", "priority", "cost, balanced, latency"),
        ({"slots": 0}, "invalid_slots", "slots", "1 to 64"),
        ({"slots": -1}, "invalid_slots", "slots", "1 to 64"),
        ({"slots": 65}, "invalid_slots", "slots", "1 to 64"),
        ({"deadline_s": -1}, "invalid_deadline_s", "deadline_s", "0 to 86400"),
        ({"deadline_s": 86_401}, "invalid_deadline_s", "deadline_s", "0 to 86400"),
        ({"requests": []}, "invalid_requests", "requests", "1 to 1"),
        ({"requests": [BODY] * 2}, "invalid_requests", "requests", "1 to 1"),
        ({"workload": "batch", "requests": []}, "invalid_requests", "requests", "1 to 500"),
        ({"workload": "batch", "requests": [BODY] * 501}, "invalid_requests", "requests", "1 to 500"),
        ({"needs": Needs(cores=-1)}, "invalid_cores", "needs.cores", "0 to 4096"),
        ({"needs": Needs(latency_ms_max=0)}, "invalid_latency_ms_max", "needs.latency_ms_max", "1 to 60000"),
        ({"participants": 10}, "not_applicable", "participants", "leave it out"),
        ({"participants": 0}, "not_applicable", "participants", "leave it out"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_by_its_field(
    changes: dict[str, Any], code: str, field: str, accepted: str
) -> None:
    error = refusal(lambda: check_request(request(**changes), TIERS[TierName.MEDIUM]))
    assert isinstance(error, Invalid)
    assert (error.code, error.field, error.accepted) == (code, field, accepted)


def test_training_is_ordered_with_a_task_in_place_of_requests() -> None:
    asked = request(workload="training", requests=(), local_task=b"{}", priority="latency")
    assert check_request(asked, TIERS[TierName.MEDIUM]) is Strategy.LATENCY
    error = refusal(lambda: check_request(replace(asked, slots=0), TIERS[TierName.MEDIUM]))
    assert error.code == "invalid_slots"


def test_an_sla_is_offered_from_tier_medium_upwards() -> None:
    asked = request(sla_required=True)
    for tier in (TierName.MEDIUM, TierName.LARGE, TierName.ENTERPRISE):
        check_request(asked, TIERS[tier])
    error = refusal(lambda: check_request(asked, TIERS[TierName.SMALL]))
    assert (error.code, error.field) == ("sla_not_offered", "sla_required")
    assert error.accepted == "false, or one of the tiers medium, large, enterprise"


@pytest.mark.parametrize("tier", TIERS.values(), ids=lambda tier: tier.name)
def test_slots_are_limited_by_the_tier(tier: Any) -> None:
    error = refusal(lambda: check_request(request(slots=tier.slots_max + 1), tier))
    assert (error.code, error.accepted) == ("invalid_slots", f"1 to {tier.slots_max}")


@pytest.mark.parametrize(
    ("reasons", "state"),
    [
        ({CloseReason.CANCELLED_BY_USER}, OrderState.CANCELLED),
        (
            {
                CloseReason.DEADLINE_PASSED,
                CloseReason.NO_CAPACITY,
                CloseReason.NEEDS_UNMET,
                CloseReason.LIMIT_BELOW_MARKET,
                CloseReason.NO_PRICE,
                CloseReason.OUTBID,
                CloseReason.HOLD_EXPIRED,
            },
            OrderState.EXPIRED,
        ),
        ({CloseReason.ATTEMPTS_EXHAUSTED, CloseReason.NO_VERIFIED_KEY}, OrderState.FAILED),
        (
            {
                None,
                CloseReason.SESSION_IDLE,
                CloseReason.INSUFFICIENT_FUNDS,
                CloseReason.NODE_LOST,
                CloseReason.ROUND_ENDED,
                CloseReason.WINDOW_ENDED,
                CloseReason.GATEWAY_LOST,
            },
            OrderState.SETTLED,
        ),
    ],
)
def test_an_order_ends_in_the_state_of_its_reason(reasons: set[CloseReason | None], state: OrderState) -> None:
    assert {final_state(reason) for reason in reasons} == {state}
    assert {reason for reason in (None, *CloseReason) if final_state(reason) is state} == reasons
