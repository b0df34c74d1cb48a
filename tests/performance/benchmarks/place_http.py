"""Orders per second held through `POST /api/v1/orders:batch`, against the same batches placed by the service itself."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson

from backend.bootstrap import Settings, utc_now
from backend.domain.access import Role
from backend.embedded.ports import LOOPBACK, free_port
from backend.services import accounts
from tests.market import REQUEST, Market
from tests.performance.bench import Bench
from tests.performance.order_path import OrderPath
from tests.performance.rows import Row, Target

ORDERS = 500
BATCHES = 3  # a measurement
START_S = 20
TIMEOUT_S = 30


def run(bench: Bench) -> Iterator[Row]:
    """The API is a process of its own, as in a deployment; one client sends one batch after the other."""
    body = orjson.dumps(
        {"orders": [{"workload": "inference", "model": "doubling", "tier": "medium", "requests": [REQUEST]}] * ORDERS}
    )
    with bench.market() as market:
        path = OrderPath(market)
        path.beat()
        with _api(market, bench.servers.folder) as client:

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


@contextmanager
def _api(market: Market, folder: Path) -> Iterator[httpx.Client]:
    """A client of an API process with the key of the buyer."""
    key = accounts.create_key(market.app.uow(), utc_now(), market.buyer.account_id, Role.USER)
    settings: Settings = market.app.settings.model_copy(
        update={"api_port": free_port([LOOPBACK], None), "log_level": "WARNING"}
    )
    environment = {f"SWARMEX_{name.upper()}": str(value) for name, value in settings if value is not None}
    process = subprocess.Popen([sys.executable, "-m", "backend.api"], env={**os.environ, **environment}, cwd=folder)
    url = f"http://127.0.0.1:{settings.api_port}"
    headers = {"Authorization": f"Bearer {key.secret}", "Content-Type": "application/json"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S) as client:
            _await(client)
            yield client
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def _await(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if client.get("/health/live").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the API did not come up")
