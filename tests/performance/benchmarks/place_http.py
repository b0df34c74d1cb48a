"""Orders per second held through `POST /api/v1/orders:batch`, against the same batches placed by the service itself."""

import time
from collections.abc import Iterator

import orjson

from tests.market import REQUEST
from tests.performance.api_process import api_process
from tests.performance.bench import Bench
from tests.performance.order_path import OrderPath
from tests.performance.rows import Row, Target

ORDERS = 500
BATCHES = 3  # a measurement


def run(bench: Bench) -> Iterator[Row]:
    """The API is a process of its own, as in a deployment; one client sends one batch after the other."""
    body = orjson.dumps(
        {"orders": [{"workload": "inference", "model": "doubling", "tier": "medium", "requests": [REQUEST]}] * ORDERS}
    )
    with bench.market() as market:
        path = OrderPath(market)
        path.beat()
        with api_process(market, bench.servers.folder) as client:

            def over_http() -> float:
                path.beat()
                started = time.perf_counter()
                for _ in range(BATCHES):
                    answer = client.post("/api/v1/orders:batch", content=body)
                    assert answer.status_code == 201, answer.text[:300]
                took_s = time.perf_counter() - started
                assert all(result["order"] for result in answer.json()["results"])
                return ORDERS * BATCHES / took_s

            def by_service() -> float:
                path.beat()
                started = time.perf_counter()
                for _ in range(BATCHES):
                    path.place(ORDERS)
                return ORDERS * BATCHES / (time.perf_counter() - started)

            pairs = bench.pairs(over_http, by_service)
    yield Row(
        "place_http",
        pairs.value,
        "orders/s",
        "orders/s by the service, without HTTP",
        pairs.reference_value,
        pairs.ratio,
        Target("value", "≥", 3_000),
    )
