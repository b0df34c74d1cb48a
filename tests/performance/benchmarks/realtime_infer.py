"""Real-time requests through the gateway, held against the same requests to the node's own address."""

from collections.abc import Iterator
from statistics import median

import orjson

from tests.market import REQUEST
from tests.performance.bench import Bench
from tests.performance.callers import Callers
from tests.performance.rows import Row, Target
from tests.performance.system import System

PATH = "/v2/models/doubling/versions/1/infer"
REQUESTS = {1: 400, 16: 1_500}  # by how many are in flight
# As recorded for LiteLLM on a machine of this size: its proxy adds 10 to 14 ms alone, and serves 80/s at 16 in flight.
LITELLM_ADDED_MS = 10
LITELLM_REQUESTS_PER_S = 80
TARGETS = {1: (None, Target("value", "≤", LITELLM_ADDED_MS)), 16: (Target("value", "≥", LITELLM_REQUESTS_PER_S), None)}


def run(bench: Bench) -> Iterator[Row]:
    """All processes are real: API, agents, node, and this one as the client."""
    with bench.system() as system:
        for in_flight in REQUESTS:
            yield from _at(bench, system, in_flight)


def _at(bench: Bench, system: System, in_flight: int) -> Iterator[Row]:
    endpoint, token = system.node()
    body, count = orjson.dumps(REQUEST), REQUESTS[in_flight]
    gateway = Callers(system.url + PATH, system.authorization, body, in_flight, count)
    node = Callers(endpoint + PATH, token, body, in_flight, count)
    pairs = bench.pairs(gateway.requests_per_s, node.requests_per_s)
    at_least, at_most = TARGETS[in_flight]
    yield Row(
        f"realtime_infer_{in_flight}",
        pairs.value,
        "requests/s",
        "requests/s to the node itself",
        pairs.reference_value,
        pairs.ratio,
        at_least,
    )
    counted = slice(-len(pairs.ours), None)  # the first run of each was a warm-up
    both = zip(gateway.latency_ms_p50[counted], node.latency_ms_p50[counted], strict=True)
    added_ms, alone_ms = median(ours - other for ours, other in both), median(node.latency_ms_p50[counted])
    yield Row(
        f"realtime_infer_{in_flight}_added",
        added_ms,
        "ms added (p50)",
        "ms at the node itself",
        alone_ms,
        added_ms / alone_ms,
        at_most,
    )
