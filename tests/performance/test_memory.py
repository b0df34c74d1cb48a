"""A process that has traded for a week holds no more memory than one that has just begun."""

import gc
import tracemalloc
from itertools import pairwise

import pytest

from backend.messaging.dispatcher import Dispatcher
from tests.market import Market
from tests.performance.order_path import OrderPath

ORDERS = 100
WARM_UP_BATCHES = 3
BATCHES = 12
STRETCHES = 3
GROWTH_MAX_BYTES = ORDERS * BATCHES * 64  # keeping the id of each order would take more


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_orders_that_passed(market: Market, redis_url: str) -> None:
    dispatcher = Dispatcher(redis_url)
    path = OrderPath(market, dispatcher.send)
    tracemalloc.start()
    try:
        held = [held_after(path, WARM_UP_BATCHES)]
        held += [held_after(path, BATCHES // STRETCHES) for _ in range(STRETCHES)]
        # What is kept of every order grows in each stretch; what other threads do for once, in one of them.
        growth_bytes = min(after - before for before, after in pairwise(held))
    finally:
        tracemalloc.stop()
        dispatcher.close()
    assert path.settled() == ORDERS * (WARM_UP_BATCHES + BATCHES)
    assert growth_bytes < GROWTH_MAX_BYTES / STRETCHES


def held_after(path: OrderPath, batches: int) -> int:
    """Bytes that Python holds when so many more batches are settled."""
    for _ in range(batches):
        path.beat()
        path.run(ORDERS)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
