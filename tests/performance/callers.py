"""Clients that send one request after the other, some number of them at the same time."""

import asyncio
import time
from collections.abc import Mapping
from statistics import quantiles

import aiohttp
import uvloop

TIMEOUT_S = 10
WARM_UP_REQUESTS = 20


class Callers:
    """`in_flight` callers of one address; remembers how fast each run of theirs was."""

    def __init__(self, url: str, headers: Mapping[str, str], body: bytes, in_flight: int, requests: int) -> None:
        self._url = url
        self._headers = {**headers, "Content-Type": "application/json"}
        self._body = body
        self._in_flight = in_flight
        self._requests = requests
        self.latency_ms: dict[int, list[float]] = {50: [], 95: [], 99: []}  # percentile → one figure a run

    def requests_per_s(self) -> float:
        """Send all requests once; raises for an answer that is not 200."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._run())

    async def _run(self) -> float:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=self._in_flight)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as http:
            await self._send(http, WARM_UP_REQUESTS)
            started = time.perf_counter()
            latencies_s = await self._send(http, self._requests)
            elapsed_s = time.perf_counter() - started
        cuts = quantiles(latencies_s, n=100, method="inclusive")
        for percentile, runs in self.latency_ms.items():
            runs.append(cuts[percentile - 1] * 1_000)
        return self._requests / elapsed_s

    async def _send(self, http: aiohttp.ClientSession, requests: int) -> list[float]:
        """Seconds that each request took."""
        latencies_s: list[float] = []
        left = iter(range(requests))

        async def call() -> None:
            for _ in left:
                started = time.perf_counter()
                async with http.post(self._url, data=self._body) as answer:
                    said = await answer.read()
                latencies_s.append(time.perf_counter() - started)
                if answer.status != 200:
                    raise RuntimeError(f"{self._url} answered {answer.status}: {said[:300]!r}")

        await asyncio.gather(*(call() for _ in range(self._in_flight)))
        return latencies_s
