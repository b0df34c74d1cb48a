"""Work on weights in several threads at once: who sums them knows of no threads."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from threadpoolctl import ThreadpoolController

from backend.domain.federated.krum import Blocks, Doubles


def in_threads(work: Callable[[Blocks], Doubles], lanes: Sequence[Blocks]) -> Iterable[Doubles]:
    """Sum all lanes at the same time, a thread each; what comes of it is in their order.

    BLAS gets no threads of its own meanwhile: they wait for each other by spinning, and where they come to share a
    core, or the cores are busy, all take two to ten times as long (measured).
    """
    with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(len(lanes)) as pool:
        return list(pool.map(work, lanes))


@cache
def _blas() -> ThreadpoolController:
    """The libraries that multiply; looked for once, when NumPy has loaded its own."""
    return ThreadpoolController()
