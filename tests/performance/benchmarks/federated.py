"""Milliseconds in which 100 updates of a million weights become one model, held against Flower's aggregation.

With PEERS=1 both are measured in turns; else Flower's figures are those recorded on a machine of this size.
"""

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from statistics import median

import numpy as np

from backend.domain.federated.aggregation import aggregate
from backend.domain.federated.layout import DType, Layout, TensorPlace
from backend.domain.federated.strategies import Strategy, strategy_named
from backend.domain.federated.updates import Update
from backend.domain.federated.weights import Floats, weights_file
from backend.services.lanes import in_threads
from tests.performance import flower_peer
from tests.performance.bench import Bench
from tests.performance.flower_peer import Flower
from tests.performance.pairs import Measure
from tests.performance.rows import Row, Target

PARTICIPANTS, SIZE, MALICIOUS = 100, 1_000_000, 20
LAYOUT = Layout((TensorPlace("0000", DType.F32, (SIZE,)),))
EXAMPLES = 10
SEED = 11
ROUNDS = 5
RECORDED_MS = {  # on two quiet cores
    "fedavg": 670.0,
    "fedavg_in_place": 145.0,
    "krum": 4_500.0,
    "median": 1_700.0,
    "trimmed_mean": 2_100.0,
}
TIMES = {"fedavg": 10, "fedavg_in_place": 2, "krum": 10, "median": 3, "trimmed_mean": 3}  # as fast as Flower, at least


def run(bench: Bench) -> Iterator[Row]:
    """From the bytes of the updates, as they were received, to the next weights; making them is not timed.

    Flower looks at none of the numbers; what it costs to have checked each of them is in a row that only informs.
    """
    measured = os.environ.get("PEERS") == "1"
    if measured and not flower_peer.is_there():
        raise RuntimeError("`make benchmark PEERS=1` installs Flower")
    received = _received()
    base = np.zeros(SIZE, np.float32)
    alone: dict[str, float] = {}
    with Flower(PARTICIPANTS, SIZE, MALICIOUS) if measured else nullcontext() as peer:
        for name, times in TIMES.items():
            strategy = _strategy(name)

            def ours_ms(strategy: Strategy = strategy) -> float:
                return _milliseconds(strategy, base, received, checked=False)

            target = Target("ratio", "≤", 1 / times)
            if peer is not None:
                pairs = bench.pairs(ours_ms, lambda name=name: 1_000 * peer.seconds(name))  # type: ignore[misc]
                value, reference_value, ratio = pairs.value, pairs.reference_value, pairs.ratio
                reference = f"ms of Flower's {name}"
            else:
                value, reference_value = _alone(bench, ours_ms), RECORDED_MS[name]
                ratio = value / reference_value
                reference = f"ms, Flower's {name} as recorded (PEERS=1 measures it)"
            yield Row(f"federated_{name}", value, "ms", reference, reference_value, ratio, target)
            alone[name] = value
    checked = _alone(bench, lambda: _milliseconds(_strategy("fedavg"), base, received, checked=True))
    ratio = checked / alone["fedavg"]
    yield Row(
        "federated_fedavg_checked", checked, "ms, every number checked", "federated_fedavg", alone["fedavg"], ratio
    )


def _alone(bench: Bench, ours_ms: Measure) -> float:
    ours_ms()
    seen = []
    for _ in range(ROUNDS):
        seen.append(ours_ms())
        bench.step()
    return median(seen)


def _strategy(name: str) -> Strategy:
    options = {"krum": {"malicious": float(MALICIOUS)}, "trimmed_mean": {"beta": 0.2}}
    return strategy_named(name.removesuffix("_in_place"), options.get(name, {}))


def _milliseconds(strategy: Strategy, base: Floats, received: list[bytes], checked: bool) -> float:
    started = time.perf_counter()
    updates = [Update(data, EXAMPLES) for data in received]
    for update in updates:
        if checked:
            update.check(LAYOUT)
        else:
            LAYOUT.check_fits(update.layout)
    aggregate(strategy, base, updates, spread=in_threads)
    return 1_000 * (time.perf_counter() - started)


def _received() -> list[bytes]:
    """Random updates as files."""
    dice = np.random.default_rng(SEED)
    return [b"".join(weights_file(LAYOUT, dice.standard_normal(SIZE, np.float32))) for _ in range(PARTICIPANTS)]
