"""A model read over HTTP, by a name that is cached and by one that nobody asked for yet."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection

import httpx

from backend.bootstrap import new_id, utc_now
from backend.domain.ids import ModelId
from tests.market import Market
from tests.performance.api_process import TIMEOUT_S, api_process
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target

NAMES = 200
ROUNDS = 5
CACHED_MS_MAX, UNCACHED_MS_MAX = 5, 20


def run(bench: Bench) -> Iterator[Row]:
    """One client, one request after the other; the API is a process of its own, as in a deployment.

    The client is the standard library's, on one connection: httpx itself took half of what is promised (measured).
    In each round every name is asked for twice, after the cache was emptied: the first answer comes from PostgreSQL,
    the second from Redis. They are held against the API's lightest answer, which asks neither, in the same round.
    """
    uncached, cached, lightest = [], [], []
    with bench.market() as market:
        names = _register(market)
        with api_process(market, bench.servers.folder) as api, closing(_Client(api)) as client:
            client.ms("/api/v1/models/doubling")
            for _ in range(ROUNDS):
                bench.servers.empty_redis()
                for name in names:
                    uncached.append(client.ms(f"/api/v1/models/{name}"))
                    cached.append(client.ms(f"/api/v1/models/{name}"))
                    lightest.append(client.ms("/health/live"))
                bench.step()
    floor = _p95(lightest)
    for name, found, most in (("cached", cached, CACHED_MS_MAX), ("uncached", uncached, UNCACHED_MS_MAX)):
        p95 = _p95(found)
        yield Row(
            f"registry_read_{name}",
            p95,
            "ms, p95 over HTTP",
            "ms of the API's lightest answer, p95",
            floor,
            p95 / floor,
            Target("value", "≤", most),
        )


def _register(market: Market) -> list[str]:
    """Models of one file under many names."""
    names = [f"model-{number}" for number in range(NAMES)]
    with market.app.uow() as uow:
        for name in names:
            ref = replace(market.model.ref, model_id=ModelId(new_id()), name=name)
            uow.models.add(replace(market.model, ref=ref, created_at=utc_now()))
            uow.models.touch(name, None)
        uow.commit()
    return names


class _Client:
    """The same address and key as another client's."""

    def __init__(self, other: httpx.Client) -> None:
        assert other.base_url.port is not None
        self._connection = HTTPConnection(other.base_url.host, other.base_url.port, timeout=TIMEOUT_S)
        self._headers = dict(other.headers)

    def ms(self, path: str) -> float:
        """Milliseconds until the whole answer is there."""
        started = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        took_ms = (time.perf_counter() - started) * 1_000
        assert answer.status == 200, said[:300]
        return took_ms

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def _p95(figures: list[float]) -> float:
    return sorted(figures)[int(len(figures) * 0.95)]
