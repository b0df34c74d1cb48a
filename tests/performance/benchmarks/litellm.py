"""Requests per second and slowest hundredth through the gateway, against the LiteLLM proxy before a mock.

With PEERS=1 both are measured by wrk in turns; else LiteLLM's figures are those recorded on a machine of this size.
"""

import os
from collections.abc import Iterator
from statistics import median

import orjson

from tests.market import REQUEST
from tests.performance import litellm_peer, wrk
from tests.performance.bench import Bench
from tests.performance.callers import Callers
from tests.performance.litellm_peer import LiteLLM
from tests.performance.rows import Row, Target
from tests.performance.system import System

PATH = "/v2/models/doubling/versions/1/infer"
IN_FLIGHT = 16
REQUESTS = 2_000  # where wrk is not asked for
SECONDS = 4
RECORDED_PER_S, RECORDED_P99_MS = 80.0, 251.0  # its proxy at 16 in flight: ours, and a vendor's own test
FASTER, SHORTER = Target("ratio", "≥", 10), Target("ratio", "≤", 0.2)


def run(bench: Bench) -> Iterator[Row]:
    """The gateway has a real node behind it, the proxy has a mock that costs nothing."""
    with bench.system() as system:
        if os.environ.get("PEERS") == "1":
            yield from _measured(bench, system)
        else:
            yield from _recorded(bench, system)


def _measured(bench: Bench, system: System) -> Iterator[Row]:
    if not (wrk.is_there() and litellm_peer.is_there()):
        raise RuntimeError("PEERS=1 needs wrk on the PATH; `make benchmark PEERS=1` installs LiteLLM")
    ours: list[float] = []
    others: list[float] = []
    body = orjson.dumps(REQUEST)
    with LiteLLM(bench.servers.folder) as peer:

        def gateway() -> float:
            seen = wrk.load(system.url + PATH, system.authorization, body, IN_FLIGHT, SECONDS)
            ours.append(seen.latency_ms_p99)
            return seen.requests_per_s

        def litellm() -> float:
            seen = wrk.load(peer.url, peer.headers, litellm_peer.BODY, IN_FLIGHT, SECONDS)
            others.append(seen.latency_ms_p99)
            return seen.requests_per_s

        pairs = bench.pairs(gateway, litellm)
    ours_ms, others_ms = median(ours[1:]), median(others[1:])  # the first run of each was a warm-up
    name = "the LiteLLM proxy"
    yield Row("litellm", pairs.value, "requests/s", f"requests/s of {name}", pairs.reference_value, pairs.ratio, FASTER)
    yield Row("litellm_p99", ours_ms, "ms (p99)", f"ms of {name}", others_ms, ours_ms / others_ms, SHORTER)


def _recorded(bench: Bench, system: System) -> Iterator[Row]:
    callers = Callers(system.url + PATH, system.authorization, orjson.dumps(REQUEST), IN_FLIGHT, REQUESTS)
    per_s = []
    for _ in range(4):
        per_s.append(callers.requests_per_s())
        bench.step()
    value, p99_ms = median(per_s[1:]), median(callers.latency_ms[99][1:])
    name = "LiteLLM as recorded (PEERS=1 measures it)"
    yield Row("litellm", value, "requests/s", f"requests/s, {name}", RECORDED_PER_S, value / RECORDED_PER_S, FASTER)
    yield Row("litellm_p99", p99_ms, "ms (p99)", f"ms, {name}", RECORDED_P99_MS, p99_ms / RECORDED_P99_MS, SHORTER)
