"""What follows from a round: the best value so far, and whether the job goes on."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backend.domain.federated.jobs import Target, TrainingSpec
from backend.domain.federated.states import EndReason

FAILED_ROUNDS_MAX = 2  # in a row


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of a job's metric, the round that it was of, and how many rounds since then were no better."""

    value: float | None = None
    round: int | None = None
    stale_rounds: int = 0


def improved(best: Best, target: Target, number: int, value: float | None) -> Best:
    """The best after a round; one whose value nobody could tell is no better."""
    if value is not None and target.better(value, best.value):
        return Best(value, number)
    return Best(best.value, best.round, best.stale_rounds + 1)


def ending(
    spec: TrainingSpec, number: int, value: float | None, best: Best, epsilon_next: float | None
) -> EndReason | None:
    """Why a job ends after this round, None if it goes on. `epsilon_next` is ε if there were one round more."""
    target = spec.target
    if value is not None and target.reached(value):
        return EndReason.TARGET_REACHED
    if number >= spec.rounds:
        return EndReason.ROUNDS_DONE
    if target.patience is not None and best.stale_rounds >= target.patience:
        return EndReason.PATIENCE_LOST
    if epsilon_spent(spec, epsilon_next):
        return EndReason.EPSILON_SPENT
    return None


def epsilon_spent(spec: TrainingSpec, epsilon_next: float | None) -> bool:
    """Whether one round more would be one too many for what a job may tell of its participants."""
    limit = spec.privacy.epsilon_max if spec.privacy else None
    return limit is not None and epsilon_next is not None and epsilon_next > limit


def weighted_metrics(reports: Iterable[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """The mean of each metric over the participants that give it, weighted by their examples; finite ones only."""
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for examples, metrics in reports:
        for name, value in metrics.items():
            if math.isfinite(value):
                sums[name] = sums.get(name, 0.0) + examples * value
                counts[name] = counts.get(name, 0) + examples
    means = {name: sums[name] / counts[name] for name in sums if counts[name]}
    return {name: value for name, value in means.items() if math.isfinite(value)}


def affordable(left_nano: int, costs_nano: Iterable[int], least: int) -> int:
    """How many of the participants with these worst cases what is left pays for, the cheapest first and each with an
    equal share of it; 0 if not even `least` of them.
    """
    ascending = enumerate(sorted(costs_nano), 1)
    count = max((count for count, cost_nano in ascending if count * cost_nano <= left_nano), default=0)
    return count if count >= least else 0
