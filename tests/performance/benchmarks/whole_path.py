"""Orders per second through the whole system as it runs, from placed to settled, against Celery tasks with results."""

import time
from collections.abc import Iterator

from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.services import orders
from tests.market import Market
from tests.performance.bench import Bench
from tests.performance.celery_peer import BareCelery
from tests.performance.rows import Row, Target
from tests.performance.system import POOL

BATCH = 1_000
BATCHES = 8  # a measurement: long enough that filling and draining the path is a small part of it
NODES = 20
SLOTS_PER_NODE = 200  # together a place for each order of a measurement
TASKS = 2_000
ROUNDS = 3  # each takes a slow machine twenty seconds
POLL_S = 0.01
TIMEOUT_S = 60.0
# Looked up while it is measured: indexes know, however many orders have passed.
IN_FLIGHT = "SELECT count(*) FROM orders WHERE state = 'open' OR state IN ('running', 'closing')"
SETTLED = "SELECT count(*) FROM orders WHERE state = 'settled'"


def run(bench: Bench) -> Iterator[Row]:
    """Every agent is a process, as in a deployment, all on one machine; this one places, and waits for the last."""
    with bench.system() as system, BareCelery(bench.servers.redis_url, results=True) as celery:
        market = system.market
        for number in range(NODES):
            market.node(f"wide-{number}", SLOTS_PER_NODE, pool=POOL)
        requests = [market.request()] * BATCH

        def orders_per_s() -> float:
            wanted = _count(market, SETTLED) + BATCH * BATCHES
            started = time.perf_counter()
            for _ in range(BATCHES):
                orders.place_orders(market.app.uow(), utc_now(), market.buyer, requests)
            while left := _count(market, IN_FLIGHT):
                if time.perf_counter() - started > TIMEOUT_S:
                    raise TimeoutError(f"{left} orders are not settled after {TIMEOUT_S} s")
                time.sleep(POLL_S)
            elapsed_s = time.perf_counter() - started
            assert _count(market, SETTLED) == wanted, "not every order was settled"
            return BATCH * BATCHES / elapsed_s

        pairs = bench.pairs(orders_per_s, lambda: celery.tasks_per_s(TASKS), ROUNDS)
    yield Row(
        "whole_path",
        pairs.value,
        "orders/s",
        "bare Celery no-op tasks with results/s",
        pairs.reference_value,
        pairs.ratio,
        Target("ratio", "≥", 3.0),
    )


def _count(market: Market, statement: str) -> int:
    with market.app.engine.connect() as connection:
        return int(connection.execute(text(statement)).scalar_one())
