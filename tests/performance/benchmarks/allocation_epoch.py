"""One clearing of 1,000 orders on the database, and how long a single order waits for its lease on a quiet market."""

import time
from collections.abc import Iterator
from statistics import median, quantiles

from sqlalchemy import text

from backend.domain.machines import Needs
from tests.market import Market
from tests.performance.bench import POOL, Bench
from tests.performance.rows import Row, Target
from tests.performance.system import System

ORDERS = 1_000
ROUNDS = 5
EPOCH_MS_MAX = 250
QUIET_ORDERS = 60
QUIET_PAUSE_S = 0.05
LEASE_MS_MAX = 50
WAIT_S = 10.0
LOOK_EVERY_S = 0.001


def run(bench: Bench) -> Iterator[Row]:
    """The epoch with everything that belongs to it: locks, clearing, log, trades, leases, work, lowered holds."""
    with bench.market() as market:
        yield _epoch(bench, market, "allocation_epoch", Needs())
        yield _epoch(bench, market, "allocation_epoch_with_needs", Needs(cores=1, memory_mb=512))
    with bench.system() as system:
        yield _quiet(bench, system)


def _epoch(bench: Bench, market: Market, name: str, needs: Needs) -> Row:
    took_ms, placed_ms = [], []
    executor = market.executor(POOL)
    for _ in range(ROUNDS):
        started = time.perf_counter()
        market.place(ORDERS, needs=needs)
        placed_ms.append((time.perf_counter() - started) * 1_000)
        executor.beat()
        started = time.perf_counter()
        assert market.clear() == ORDERS
        took_ms.append((time.perf_counter() - started) * 1_000)
        for dispatch in market.dispatched():
            executor.commit(executor.claim([dispatch]))
        while market.settle():
            pass
        bench.step()
    ours, other = median(took_ms), median(placed_ms)
    return Row(name, ours, "ms", "ms to place them", other, ours / other, Target("value", "≤", EPOCH_MS_MAX))


def _quiet(bench: Bench, system: System) -> Row:
    """Orders one by one, with time between them, from when an order is placed until its lease can be seen."""
    market = system.market
    waited_ms = []
    statement = text("SELECT 1 FROM leases WHERE order_id = :order")
    for _ in range(QUIET_ORDERS):
        [order] = market.place(1)
        started = time.perf_counter()
        with market.app.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            while connection.execute(statement, {"order": order.id}).scalar_one_or_none() is None:
                assert time.perf_counter() - started < WAIT_S, "an order got no lease"
                time.sleep(LOOK_EVERY_S)
        waited_ms.append((time.perf_counter() - started) * 1_000)
        time.sleep(QUIET_PAUSE_S)
    bench.step()
    p95, p50 = quantiles(waited_ms, n=20)[-1], median(waited_ms)
    return Row("placed_to_leased", p95, "ms (p95)", "ms (p50)", p50, p95 / p50, Target("value", "≤", LEASE_MS_MAX))
