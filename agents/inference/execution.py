"""One inference from its JSON body to its JSON outputs; the only place that measures billable time."""

from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

from agents.engines.base import InferenceFailed, Loaded
from backend.domain.tensors import Signature, parse_request, render_outputs


@dataclass(frozen=True, slots=True)
class Execution:
    """What came out, and the microseconds in the engine (at least 1; parsing is not billed)."""

    outputs: list[dict[str, Any]]
    busy_us: int


def execute(model: Loaded, signature: Signature, body: object) -> Execution:
    """Run `model` on an inference request; raises InvalidTensor, InferenceFailed."""
    inputs = parse_request(body, signature)
    started = monotonic_ns()
    outputs = model.run(inputs)
    busy_us = max(1, (monotonic_ns() - started) // 1000)
    if missing := [spec.name for spec in signature.outputs if spec.name not in outputs]:
        raise InferenceFailed(f"the model gave no output {missing[0]!r}")
    return Execution(render_outputs(outputs, signature), busy_us)
