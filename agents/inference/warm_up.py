"""The first runs of a model, at its load: no request has to be the slow one, and the node learns what it can do."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from statistics import median
from time import monotonic_ns

import numpy as np
import structlog

from agents.engines.base import Loaded
from agents.inference.joining import is_joinable, join, split
from backend.domain.tensors import DATATYPES, ELEMENTS_MAX, Array, Signature, TensorSpec
from backend.domain.work import Profile

RUNS_MAX = 5
RUNS_NS_MAX = 50_000_000  # a slow model is timed by fewer runs
ROWS = 32
SLOW_NS = 500_000_000  # a model so slow for one row gains nothing by neighbours, and is run no more than once
ROUNDING = 1e-3  # by so much, relatively, an output may differ with its neighbours: other kernels, other order of sums

log = structlog.get_logger(__name__)

Fill = Callable[[TensorSpec, tuple[int, ...]], Array]


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What a model's first runs showed: its time on this machine, and whether its rows may share a run."""

    profile: Profile | None
    joins: bool


def warm_up(model: Loaded, signature: Signature) -> WarmUp:
    """Run `model` a few times; one that refuses zeros is served as it is, without a profile or neighbours."""
    try:
        return _warm_up(model, signature)
    except Exception as error:  # a model may break in any way; it may still like real inputs
        log.warning("model.not_warmed_up", error=repr(error))
        return WarmUp(None, joins=False)


def _warm_up(model: Loaded, signature: Signature) -> WarmUp:
    one = _inputs(signature, 1, _zeros)
    if one is None:
        return WarmUp(None, joins=False)
    first_ns = _timed_ns(model, one)
    if first_ns > SLOW_NS:
        return WarmUp(Profile(max(1, first_ns // 1_000), 1), joins=False)
    one_us = _median_us(model, one)
    many = _inputs(signature, ROWS, _zeros) if is_joinable(signature) else None
    if many is None:
        return WarmUp(Profile(max(1, round(one_us)), 1), joins=False)
    per_row = max(0.0, (_median_us(model, many) - one_us) / (ROWS - 1))
    profile = Profile(max(1, round(one_us - per_row)), max(1, round(per_row)))
    return WarmUp(profile, joins=_rows_are_apart(model, signature))


def _rows_are_apart(model: Loaded, signature: Signature) -> bool:
    """Whether rows come out alike alone and with neighbours: a free leading axis may also be a length."""
    noise = np.random.default_rng(0)

    def noisy(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
        if spec.datatype == "BYTES":
            return noise.choice(np.array(["a", "b"], object), shape)
        kind = DATATYPES[spec.datatype]
        return (noise.random(shape) if kind.kind == "f" else noise.integers(0, 2, shape)).astype(kind)

    requests = [_inputs(signature, rows, noisy) or {} for rows in (2, 1)]
    together = split(model.run(join(requests)), [2, 1])
    alone = [model.run(inputs) for inputs in requests]
    return all(
        _alike(ones[spec.name], others[spec.name])
        for ones, others in zip(together, alone, strict=True)
        for spec in signature.outputs
    )


def _alike(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    scale = float(np.max(np.abs(other), initial=0.0))
    return bool(np.allclose(one, other, rtol=ROUNDING, atol=ROUNDING * scale, equal_nan=True))


def _inputs(signature: Signature, rows: int, fill: Fill) -> dict[str, Array] | None:
    """Inputs of so many rows, other free axes 1; None where they would be too large to be made for nothing."""
    shapes = {
        spec: tuple(rows if at == 0 and axis == -1 else abs(axis) for at, axis in enumerate(spec.shape))
        for spec in signature.inputs
    }
    if any(prod(shape) > ELEMENTS_MAX for shape in shapes.values()):
        return None
    return {spec.name: fill(spec, shape) for spec, shape in shapes.items()}


def _zeros(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    return np.full(shape, "", object) if spec.datatype == "BYTES" else np.zeros(shape, DATATYPES[spec.datatype])


def _median_us(model: Loaded, inputs: dict[str, Array]) -> float:
    taken_ns: list[int] = []
    while len(taken_ns) < RUNS_MAX and sum(taken_ns) < RUNS_NS_MAX:
        taken_ns.append(_timed_ns(model, inputs))
    return median(taken_ns) / 1_000


def _timed_ns(model: Loaded, inputs: dict[str, Array]) -> int:
    started_ns = monotonic_ns()
    model.run(inputs)
    return max(1, monotonic_ns() - started_ns)
