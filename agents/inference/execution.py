"""One inference from input arrays to output arrays; the only place that measures billable time."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic_ns

from agents.engines.base import InferenceFailed, Loaded
from backend.domain.tensors import Array, Signature


@dataclass(frozen=True, slots=True)
class Execution:
    """What came out, and the microseconds in the engine (at least 1; reading and writing tensors is not billed)."""

    outputs: dict[str, Array]
    busy_us: int


def execute(model: Loaded, signature: Signature, inputs: Mapping[str, Array]) -> Execution:
    """Run `model` on arrays that fit its signature; raises InferenceFailed."""
    started = monotonic_ns()
    outputs = model.run(inputs)
    busy_us = max(1, (monotonic_ns() - started) // 1000)
    if missing := [spec.name for spec in signature.outputs if spec.name not in outputs]:
        raise InferenceFailed(f"the model gave no output {missing[0]!r}")
    return Execution(outputs, busy_us)
