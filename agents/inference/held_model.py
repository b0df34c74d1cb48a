"""A model in memory, as the node keeps it: how large, how often used, and how many rows of it run at once."""

from collections.abc import Mapping
from threading import Condition

from agents.engines.base import Loaded
from agents.inference.warm_up import WarmUp
from backend.domain.tensors import Array
from backend.domain.work import ModelRef

BATCH_ROWS_MAX = 64  # more gains little: what a call costs beside its rows is shared by enough of them then
BATCH_US_MAX = 20_000  # nobody waits much longer for its neighbours


class BatchSize:
    """Rows that a run may have to take about BATCH_US_MAX: doubled while full runs are quick, cut when one is slow."""

    def __init__(self) -> None:
        self.rows = 1

    def ran(self, rows: int, busy_us: int) -> None:
        """Learn from a run. Threads may overwrite each other's lesson; the next run teaches it again."""
        if busy_us > BATCH_US_MAX:
            self.rows = max(1, rows * BATCH_US_MAX // busy_us)
        elif rows >= self.rows:
            self.rows = min(BATCH_ROWS_MAX, self.rows * 2)


class HeldModel:
    """A loaded model that knows whether it is in use; may be run by several threads at once."""

    def __init__(self, ref: ModelRef, model: Loaded, size_bytes: int, warmed: WarmUp, changed: Condition) -> None:
        self.ref = ref
        self.size_bytes = size_bytes
        self.profile = warmed.profile
        self.joins = warmed.joins
        self.batch = BatchSize()
        self.hits = 0
        self.uses = 0
        self._model = model
        self._changed = changed

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; raises InferenceFailed. While this runs, the model makes no room for others."""
        with self._changed:
            self.uses += 1
        try:
            return self._model.run(inputs)
        finally:
            with self._changed:
                self.uses -= 1
                self._changed.notify_all()
