"""When a line grows, when it does not, how many leases are enough, and how many retries a line may make."""

import pytest

from backend.gateway.limits import (
    GROW_ABOVE_IN_FLIGHT,
    GROW_AFTER_S,
    GROW_BACKOFF_MAX_S,
    GROW_BACKOFF_S,
    REST_IN_FLIGHT,
    RETRIES_PER_S_MIN,
    RETRY_BUDGET_S,
    RETRY_SHARE,
)
from backend.gateway.routing.growth import Growth, enough
from backend.gateway.routing.retry_budget import RetryBudget

MUCH = GROW_ABOVE_IN_FLIGHT + 1


def test_a_line_grows_when_too_much_was_in_flight_for_long_enough() -> None:
    growth = Growth()
    growth.look(MUCH, 1, 0.0)
    assert not growth.wanted(GROW_AFTER_S - 0.01)
    growth.look(MUCH, 1, GROW_AFTER_S)
    assert growth.wanted(GROW_AFTER_S)
    growth.look(MUCH, 2, GROW_AFTER_S)  # there is another lease by now
    assert not growth.wanted(10.0)


def test_a_moment_with_less_begins_the_wait_anew() -> None:
    growth = Growth()
    growth.look(MUCH, 1, 0.0)
    growth.look(MUCH - 1, 1, 0.5)
    growth.look(MUCH, 1, 0.6)
    assert not growth.wanted(GROW_AFTER_S)
    assert growth.wanted(0.6 + GROW_AFTER_S)


def test_a_node_that_says_that_it_is_busy_makes_it_grow_at_once() -> None:
    growth = Growth()
    growth.fall_short()
    assert growth.wanted(0.0)
    growth.granted(beside_others=True)
    assert not growth.wanted(0.0)


def test_after_a_refusal_it_waits_twice_as_long_each_time_up_to_a_bound() -> None:
    growth, now_s, waits = Growth(), 100.0, []
    for _ in range(8):
        growth.refused(now_s)
        growth.fall_short()
        wait_s = next(s for s in range(1_000) if growth.wanted(now_s + s))
        waits.append(wait_s)
        now_s += wait_s
    assert waits[:3] == [GROW_BACKOFF_S, 2 * GROW_BACKOFF_S, 4 * GROW_BACKOFF_S]
    assert waits[-1] == GROW_BACKOFF_MAX_S
    growth.refused(now_s)
    growth.granted(beside_others=False)
    assert not growth.allowed(now_s), "that the first of a line was granted says nothing of a second"
    growth.granted(beside_others=True)
    assert growth.allowed(now_s)


@pytest.mark.parametrize(
    ("demand", "leases", "needed"),
    [(0.0, 3, 1), (REST_IN_FLIGHT, 3, 1), (REST_IN_FLIGHT + 0.1, 3, 2), (100.0, 3, 3), (100.0, 0, 1)],
)
def test_as_many_leases_as_are_needed_are_enough(demand: float, leases: int, needed: int) -> None:
    assert enough(demand, leases) == needed


def test_a_line_that_has_just_grown_needs_all_that_it_has() -> None:
    for leases in range(1, 8):
        assert enough(GROW_ABOVE_IN_FLIGHT * leases + 1, leases + 1) == leases + 1


def retries(budget: RetryBudget, now_s: float) -> int:
    """How many are granted before one is refused."""
    return next(count for count in range(10_000) if not budget.retry(now_s))


def test_retries_are_a_share_of_the_requests_and_a_few() -> None:
    budget = RetryBudget()
    few = RETRIES_PER_S_MIN * RETRY_BUDGET_S
    assert retries(budget, 5.0) == few
    for _ in range(1_000):
        budget.request(6.0)
    assert retries(budget, 6.5) == 1_000 * RETRY_SHARE
    assert not budget.retry(5.0 + RETRY_BUDGET_S - 0.1)


def test_a_budget_forgets_what_is_long_ago() -> None:
    budget = RetryBudget(share=0.5, per_s_min=0.0, window_s=10)
    for _ in range(100):
        budget.request(3.2)
    assert retries(budget, 12.9) == 50
    assert retries(budget, 13.1) == 0, "the requests are forgotten"
    for _ in range(10):
        budget.request(23.0)
    assert retries(budget, 23.0) == 5, "and so are the retries"
    assert retries(budget, 1_000_000.0) == 0
