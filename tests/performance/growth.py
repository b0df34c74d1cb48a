"""`python -m tests.performance.growth`: bytes that a process holds more for every hundred orders that it has settled.

In a process of its own: what other tests have left in theirs is not measured along. Servers and folder are read as JSON
from standard input.
"""

import gc
import json
import sys
import tracemalloc
from pathlib import Path

from backend.messaging.dispatcher import Dispatcher
from tests.market import Market
from tests.performance.order_path import OrderPath

ORDERS = 100
WARM_UP_BATCHES = 3
BATCHES = 12
NODES, SLOTS = 20, 50  # room for 1,000 orders at once


def main() -> None:
    """Print the growth of all batches after the warm-up."""
    given = json.load(sys.stdin)
    database_url, node_database_url, redis_url, namespace = given["servers"]
    market = Market(database_url, node_database_url, redis_url, namespace, Path(given["folder"]))
    for number in range(NODES):
        market.node(f"node-{number}", slots=SLOTS)
    dispatcher = Dispatcher(market.app.redis_url)
    path = OrderPath(market, dispatcher.send)
    tracemalloc.start()
    before = held_after(path, WARM_UP_BATCHES)
    growth = held_after(path, BATCHES) - before
    settled = path.settled()
    dispatcher.close()
    market.close()
    json.dump({"growth_bytes": growth, "settled": settled}, sys.stdout)


def held_after(path: OrderPath, batches: int) -> int:
    """Bytes that Python holds when so many more batches are settled."""
    for _ in range(batches):
        path.beat()
        path.run(ORDERS)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


if __name__ == "__main__":
    main()
