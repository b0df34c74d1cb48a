"""Real-time requests through the gateway, held against the same requests to the node's own address."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import orjson

from backend.cli.demo.digits import request, train
from tests.performance.bench import Bench
from tests.performance.callers import Callers
from tests.performance.pairs import Pairs
from tests.performance.rows import Row, Target
from tests.performance.system import System

PATH = "/v2/models/digits/versions/1/infer"
REQUESTS = {1: 500, 16: 2_000}  # by how many are in flight
ADDED_MS = {1: {50: 1.5, 99: 5.0}, 16: {99: 15.0}}  # by how many are in flight and percentile
REQUESTS_PER_S = 2_000
SHARE = 0.4  # of what the node itself serves, where that is too little for so many


def run(bench: Bench) -> Iterator[Row]:
    """All processes are real: API, agents, node, and this one as the client (aiohttp)."""
    with bench.system() as system, tempfile.TemporaryDirectory() as folder:
        digits = train(Path(folder))
        system.market.register("digits", digits.path)
        body = orjson.dumps(request(digits.images[:1]))
        for in_flight in REQUESTS:
            yield from _at(bench, system, in_flight, body)


def _at(bench: Bench, system: System, in_flight: int, body: bytes) -> Iterator[Row]:
    endpoint, token = system.node()
    count = REQUESTS[in_flight]
    gateway = Callers(system.url + PATH, system.authorization, body, in_flight, count)
    node = Callers(endpoint + PATH, token, body, in_flight, count)
    pairs = bench.pairs(gateway.requests_per_s, node.requests_per_s)
    yield _throughput(in_flight, pairs)
    counted = slice(-len(pairs.ours), None)  # the first run of each was a warm-up
    for percentile, limit_ms in ADDED_MS[in_flight].items():
        ours, others = (callers.latency_ms[percentile][counted] for callers in (gateway, node))
        added_ms, alone_ms = median(a - b for a, b in zip(ours, others, strict=True)), median(others)
        yield Row(
            f"gateway_added_{in_flight}_p{percentile}",
            added_ms,
            f"ms added (p{percentile})",
            "ms at the node itself",
            alone_ms,
            added_ms / alone_ms,
            Target("value", "≤", limit_ms),
        )


def _throughput(in_flight: int, pairs: Pairs) -> Row:
    slow_node = pairs.reference_value * SHARE < REQUESTS_PER_S
    target = Target("ratio", "≥", SHARE) if slow_node else Target("value", "≥", REQUESTS_PER_S)
    return Row(
        f"gateway_{in_flight}",
        pairs.value,
        "requests/s",
        "requests/s to the node itself",
        pairs.reference_value,
        pairs.ratio,
        target if in_flight > 1 else None,
    )
