"""Orders per second from placed to settled, held against bare Celery tasks."""

import time
from collections.abc import Iterator

from agents.engines.onnx import OnnxEngine
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.runner import UnitRunner
from agents.model_cache import ModelCache
from agents.work_port import DirectWorkPort
from backend.messaging.dispatcher import Dispatcher
from tests.market import Market
from tests.performance.bench import Bench
from tests.performance.celery_peer import BareCelery
from tests.performance.order_path import Execute, OrderPath
from tests.performance.pairs import Measure, Pairs
from tests.performance.rows import Row, Target

ORDERS = 1_000
TASKS = 1_000
ROUNDS = 3


def run(bench: Bench) -> Iterator[Row]:
    """Batches of 1,000 in one process, messages to the broker included.

    Once with an executor that commits at once, as a no-op task ends at once, and once with the inference agent's own,
    which runs a model for every order.
    """
    with bench.market() as market, BareCelery(bench.servers.redis_url) as celery:
        dispatcher = Dispatcher(bench.servers.redis_url)
        path = OrderPath(market, dispatcher.send)

        def tasks_per_s() -> float:
            return celery.tasks_per_s(TASKS)

        yield _row("order_path", bench.pairs(_orders_per_s(path), tasks_per_s, ROUNDS))
        runner = _runner(market, path)
        yield _row("order_path_with_model", bench.pairs(_orders_per_s(path, runner.run), tasks_per_s, ROUNDS))
        dispatcher.close()


def _orders_per_s(path: OrderPath, execute: Execute | None = None) -> Measure:
    def measured() -> float:
        path.beat()
        before = path.settled()
        started = time.perf_counter()
        path.run(ORDERS, execute)
        elapsed_s = time.perf_counter() - started
        assert path.settled() == before + ORDERS, "not every order was settled"
        return ORDERS / elapsed_s

    return measured


def _runner(market: Market, path: OrderPath) -> UnitRunner:
    """The inference agent's, in this process."""
    port = DirectWorkPort(market.node_database, path.executor_id, market.app.bus)
    models = LoadedModels(ModelCache(market.app.settings.cache, market.app.objects), OnnxEngine())
    return UnitRunner(port, models, ClaimKeeper(port))


def _row(name: str, pairs: Pairs) -> Row:
    return Row(
        name,
        pairs.value,
        "orders/s",
        "bare Celery no-op tasks/s",
        pairs.reference_value,
        pairs.ratio,
        Target("ratio", "≥", 1.0),
    )
