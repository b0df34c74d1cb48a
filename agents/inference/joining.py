"""Requests for one model run as one: joined along their free leading axis, outputs and time split among them again.

Time is shared by rows, exactly: each request gets one microsecond, and of what is left as much as its rows ask for,
so that the parts add up to what was measured (a batch counts at least one microsecond a request).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import structlog

from agents.engines.base import InferenceFailed, Loaded
from agents.inference.execution import Execution, execute
from backend.domain.tensors import Array, Signature

Inputs = Mapping[str, Array]
Kind = tuple[tuple[int, ...], ...]
"""What requests must have in common to be joined: the trailing shape of each input."""

log = structlog.get_logger(__name__)


def is_joinable(signature: Signature) -> bool:
    """Whether every input and output counts rows by a free leading axis."""
    specs = (*signature.inputs, *signature.outputs)
    return bool(signature.inputs and signature.outputs) and all(spec.shape[:1] == (-1,) for spec in specs)


def kind_of(inputs: Inputs, signature: Signature) -> Kind | None:
    """The request's kind; None for one whose inputs disagree on its rows, which is nobody's neighbour."""
    shapes = [inputs[spec.name].shape for spec in signature.inputs]
    rows = shapes[0][0]
    for shape in shapes:
        if shape[0] != rows:
            return None
    return tuple(shape[1:] for shape in shapes)


def rows_in(inputs: Inputs) -> int:
    """The rows of a request that has a kind."""
    return int(next(iter(inputs.values())).shape[0])


def run_joined(model: Loaded, signature: Signature, requests: Sequence[Inputs]) -> list[Execution | Exception]:
    """What became of each request of one kind: they run as one and, where that fails, each alone."""
    if len(requests) > 1:
        rows = [rows_in(inputs) for inputs in requests]
        try:
            whole = execute(model, signature, join(requests))
            outputs = split(whole.outputs, rows)
        except Exception as error:  # a model may break in any way, and perhaps by one request only
            log.warning("batch.failed", requests=len(requests), rows=sum(rows), error=repr(error))
        else:
            return [Execution(*part) for part in zip(outputs, shares_us(whole.busy_us, rows), strict=True)]
    return [_tried(model, signature, inputs) for inputs in requests]


def join(requests: Sequence[Inputs]) -> dict[str, Array]:
    """The inputs of requests of one kind, one after the other."""
    return {name: np.concatenate([inputs[name] for inputs in requests]) for name in requests[0]}


def split(outputs: Mapping[str, Array], rows: Sequence[int]) -> list[dict[str, Array]]:
    """Outputs of joined requests, each one's own; raises InferenceFailed where an output has other rows."""
    whole = sum(rows)
    for name, array in outputs.items():
        if array.shape[:1] != (whole,):
            raise InferenceFailed(f"output {name!r} of shape {list(array.shape)} for {whole} rows")
    parts, start = [], 0
    for count in rows:
        parts.append({name: array[start : start + count] for name, array in outputs.items()})
        start += count
    return parts


def shares_us(measured_us: int, rows: Sequence[int]) -> list[int]:
    """`measured_us`, at least one a request, shared by rows; the sum is exact, whatever is rounded."""
    if not any(rows):  # empty ones, all alike
        rows = [1] * len(rows)
    whole, left_us = sum(rows), max(measured_us, len(rows)) - len(rows)
    shares, seen = [], 0
    for count in rows:
        shares.append(1 + left_us * (seen + count) // whole - left_us * seen // whole)
        seen += count
    return shares


def _tried(model: Loaded, signature: Signature, inputs: Inputs) -> Execution | Exception:
    try:
        return execute(model, signature, inputs)
    except Exception as error:  # handed to whoever asked
        return error
