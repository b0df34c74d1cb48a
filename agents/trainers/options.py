"""Values of a job's config, as a trainer reads them: with a default, and within a range."""

import math
from collections.abc import Mapping, Sequence

from agents.trainers.base import TrainerFailed
from backend.domain.errors import shown
from backend.domain.federated.tasks import Scalar


def number(config: Mapping[str, Scalar], name: str, default: float, low: float, high: float) -> float:
    """`config[name]` from above `low` to `high`; raises TrainerFailed."""
    value = config.get(name, default)
    if isinstance(value, bool | str) or not math.isfinite(value) or not low < value <= high:
        raise TrainerFailed(f"{name} {shown(value)} is not possible: above {low:g}, at most {high:g}")
    return float(value)


def whole(config: Mapping[str, Scalar], name: str, default: int, low: int, high: int) -> int:
    """`config[name]` from `low` to `high`; raises TrainerFailed."""
    value = config.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise TrainerFailed(f"{name} {shown(value)} is not possible: a whole number of {low} to {high}")
    return value


def word(config: Mapping[str, Scalar], name: str, default: str, choices: Sequence[str]) -> str:
    """`config[name]`, one of `choices`; raises TrainerFailed."""
    value = config.get(name, default)
    if value not in choices:
        raise TrainerFailed(f"{name} {shown(value)} is not known: one of {', '.join(choices)}")
    return str(value)
