"""Orders per second through the whole system as it runs, from placed to settled, against Celery tasks with results."""

import time
from collections.abc import Iterator

from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.services import orders
from tests.performance.bench import Bench
from tests.performance.celery_peer import BareCelery
from tests.performance.rows import Row, Target
from tests.performance.system import POOL

BATCH = 1_000
BATCHES = 4  # a measurement
NODES = 20
SLOTS_PER_NODE = 100  # together places for two batches, so that one is cleared while the other runs
TASKS = 2_000
POLL_S = 0.01
TIMEOUT_S = 60.0


def run(bench: Bench) -> Iterator[Row]:
    """Every agent is a process, as in a deployment, all on one machine; this one places, and waits for the last."""
    with bench.system() as system, BareCelery(bench.servers.redis_url, results=True) as celery:
        market = system.market
        for number in range(NODES):
            market.node(f"wide-{number}", SLOTS_PER_NODE, pool=POOL)
        requests = [market.request()] * BATCH

        def settled() -> int:
            with market.app.engine.connect() as connection:
                return int(connection.execute(text("SELECT count(*) FROM orders WHERE state = 'settled'")).scalar_one())

        def orders_per_s() -> float:
            wanted = settled() + BATCH * BATCHES
            started = time.perf_counter()
            for _ in range(BATCHES):
                orders.place_orders(market.app.uow(), utc_now(), market.buyer, requests)
            while settled() < wanted:
                if time.perf_counter() - started > TIMEOUT_S:
                    raise TimeoutError(f"{wanted - settled()} orders are not settled after {TIMEOUT_S} s")
                time.sleep(POLL_S)
            return BATCH * BATCHES / (time.perf_counter() - started)

        pairs = bench.pairs(orders_per_s, lambda: celery.tasks_per_s(TASKS))
    yield Row(
        "whole_path",
        pairs.value,
        "orders/s",
        "bare Celery no-op tasks with results/s",
        pairs.reference_value,
        pairs.ratio,
        Target("ratio", "≥", 3.0),
    )
