"""What follows from a round: the best so far, whether the job goes on, and how many the next one can pay for."""

import math
from dataclasses import replace

import pytest

from backend.domain.federated.jobs import Privacy, Target, TrainingSpec
from backend.domain.federated.progress import Best, affordable, ending, epsilon_spent, improved, weighted_metrics
from backend.domain.federated.states import EndReason

SPEC = TrainingSpec(
    "digits", rounds=10, participants=5, participants_min=3, target=Target("loss", value=0.1, patience=3)
)
PRIVATE = replace(SPEC, privacy=Privacy("central", 1.0, 1.0, epsilon_max=2.0))
MORE = Target("accuracy", higher_is_better=True)


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        (Target(), 0.9, Best(0.9, 4)),
        (Target(), 1.0, Best(1.0, 2, 2)),
        (Target(), None, Best(1.0, 2, 2)),
        (MORE, 1.1, Best(1.1, 4)),
        (MORE, 0.9, Best(1.0, 2, 2)),
    ],
    ids=["less is better", "as good is no better", "nobody can tell", "more is better", "less is no better"],
)
def test_the_best_is_kept_with_its_round(target: Target, value: float | None, expected: Best) -> None:
    assert improved(Best(1.0, 2, 1), target, 4, value) == expected


def test_the_first_value_is_the_best() -> None:
    assert improved(Best(), Target(), 1, 5.0) == Best(5.0, 1)


@pytest.mark.parametrize(
    ("spec", "number", "value", "stale", "epsilon", "reason"),
    [
        (SPEC, 3, 0.5, 0, None, None),
        (SPEC, 3, None, 2, None, None),
        (SPEC, 3, 0.1, 3, 9.0, EndReason.TARGET_REACHED),
        (SPEC, 10, 0.05, 0, None, EndReason.TARGET_REACHED),
        (SPEC, 10, 0.5, 3, None, EndReason.ROUNDS_DONE),
        (SPEC, 4, 0.5, 3, None, EndReason.PATIENCE_LOST),
        (PRIVATE, 4, 0.5, 0, 2.0, None),
        (PRIVATE, 4, 0.5, 0, 2.01, EndReason.EPSILON_SPENT),
        (PRIVATE, 4, 0.5, 3, 2.01, EndReason.PATIENCE_LOST),
        (replace(SPEC, target=Target()), 9, 0.0, 99, None, None),
    ],
    ids=[
        "goes on",
        "goes on without a value",
        "target before all",
        "target in the last round",
        "last round",
        "patience",
        "epsilon just kept",
        "epsilon passed",
        "patience before epsilon",
        "neither target nor patience",
    ],
)
def test_a_job_ends_for_the_first_reason_that_there_is(
    spec: TrainingSpec, number: int, value: float | None, stale: int, epsilon: float | None, reason: EndReason | None
) -> None:
    assert ending(spec, number, value, Best(0.4, 1, stale), epsilon) == reason


def test_without_a_limit_no_epsilon_is_too_much() -> None:
    unlimited = replace(PRIVATE, privacy=Privacy("central", 1.0, 1.0))
    assert not epsilon_spent(unlimited, math.inf)
    assert not epsilon_spent(SPEC, None)


def test_metrics_are_weighted_by_examples_and_each_by_those_that_give_it() -> None:
    reports = [(1, {"loss": 4.0, "odd": math.nan}), (3, {"loss": 0.0, "rare": 7.0}), (0, {"empty": 1.0})]
    assert weighted_metrics(reports) == {"loss": 1.0, "rare": 7.0}
    assert weighted_metrics([]) == {}


@pytest.mark.parametrize(
    ("left", "count"),
    [(100, 5), (50, 5), (49, 4), (30, 3), (29, 0), (0, 0), (-10, 0)],
)
def test_a_round_has_as_many_as_can_be_paid_for_or_none(left: int, count: int) -> None:
    assert affordable(left, [10] * 5, 3) == count


def test_what_costs_nothing_is_affordable() -> None:
    assert affordable(0, [0] * 5, 3) == 5


@pytest.mark.parametrize(("left", "count"), [(100, 4), (99, 3), (18, 3), (17, 0)])
def test_the_cheapest_are_paid_for_first_and_each_gets_an_equal_share(left: int, count: int) -> None:
    assert affordable(left, [25, 2, 6, 5], 3) == count
