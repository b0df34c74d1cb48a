"""A process of its own that aggregates updates from files, and prints the megabytes that it took for it.

`python -m tests.performance.aggregation_memory STRATEGY PARTICIPANTS SIZE FOLDER`: peak of the process's own memory,
less what it had before and what result and state are; pages of the mapped files are the system's, not the process's.
"""

import gc
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backend.domain.federated.aggregation import aggregate
from backend.domain.federated.layout import DType, Layout, TensorPlace
from backend.domain.federated.strategies import strategy_named
from backend.domain.federated.updates import Update
from backend.services.lanes import in_threads
from backend.services.weights_files import open_weights, write_weights

FILES = 20  # different ones; each is opened as often as it takes
SEED = 11
SAMPLE_EVERY_S = 0.001


def main(arguments: Sequence[str]) -> None:
    """Open and check the updates, aggregate them, and print the peak."""
    name, participants, size = arguments[0], int(arguments[1]), int(arguments[2])
    layout = Layout((TensorPlace("0000", DType.F32, (size,)),))
    paths = [Path(arguments[3]) / f"{number}.safetensors" for number in range(FILES)]
    dice = np.random.default_rng(SEED)
    for path in paths:
        write_weights(path, layout, dice.standard_normal(size, np.float32))
    base, strategy = np.zeros(size, np.float32), strategy_named(name)
    base += 1  # zeros take memory only once they are written to
    small = Path(arguments[3]) / "small.safetensors"
    write_weights(small, Layout((TensorPlace("0000", DType.F32, (1_000,)),)), base[:1_000])
    few = [Update(open_weights(small), 10)] * FILES
    aggregate(
        strategy, base[:1_000], few, spread=in_threads
    )  # whatever libraries keep for themselves from their first call on
    gc.collect()
    before = _own_bytes()
    with _Peak() as peak:
        updates = [Update(open_weights(paths[number % FILES]), 10) for number in range(participants)]
        for update in updates:
            update.check(layout)
        result = aggregate(strategy, base, updates, spread=in_threads)
    kept = result.weights.nbytes + sum(array.nbytes for array in (result.state or {}).values())
    sys.stdout.write(f"{(peak.bytes - before - kept) / 1e6:.1f}\n")


class _Peak:
    """The most memory that this process has of its own while this is entered."""

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.bytes = max(self.bytes, _own_bytes())

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_EVERY_S):
            self.bytes = max(self.bytes, _own_bytes())


def _own_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main(sys.argv[1:])
