"""A training job in the words of the HTTP API: what was asked for, in a form that can be sent again."""

from dataclasses import asdict
from typing import Any

from backend.domain.federated.jobs import TrainingSpec
from backend.domain.money import format_credits

_AMOUNTS = {"max_budget_nano": "max_budget", "limit_nano_per_slot_s": "limit"}


def statement(spec: TrainingSpec) -> dict[str, Any]:
    """The body that begins such a job; amounts as decimal strings of credits."""
    said = asdict(spec)
    for name, told in _AMOUNTS.items():
        nano = said.pop(name)
        said[told] = None if nano is None else format_credits(nano)
    return said
