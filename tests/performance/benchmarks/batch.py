"""Items per second of one batch of 50,000 requests, from its creation to its files, and what processes grow by."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import psutil

from backend.domain.fleet import AgentKind
from tests.fleets import members_of
from tests.onnx_files import request
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target
from tests.performance.system import POOL

ITEMS = int(os.environ.get("BENCHMARK_BATCH_ITEMS", "50000"))
WARM_UP = 1_000
NODES = 20
SLOTS_PER_NODE = 10
ITEMS_PER_S = 5_000
GROWTH_MAX_MB = 150.0
POLL_S = 0.25
TIMEOUT_S = 120.0
Key = tuple[AgentKind, int]
REPORTED = (AgentKind.INFERENCE, AgentKind.SETTLEMENT)


def run(bench: Bench) -> Iterator[Row]:
    """Every agent is a process, as in a deployment; this one sends the file over the API and waits for the end.

    Memory is what the kernel counts (RSS), looked at while the batch runs: the largest counts.
    """
    with bench.system() as system:
        for number in range(NODES):
            system.market.node(f"wide-{number}", SLOTS_PER_NODE, pool=POOL)
        with httpx.Client(base_url=f"{system.url}/v1", headers=system.authorization, timeout=TIMEOUT_S) as client:
            _batch(client, WARM_UP, {}, {})
            watched = {(member.kind, process.pid): process for process, member in members_of(system.folder)}
            before = _memory_mb(watched)
            peak = dict(before)
            elapsed_s = _batch(client, ITEMS, watched, peak)
            bench.step()
    yield Row(
        "batch", ITEMS / elapsed_s, "items/s", "items of one batch", ITEMS, None, Target("value", "≥", ITEMS_PER_S)
    )
    for kind in REPORTED:
        start, growth = max((size, peak[key] - size) for key, size in before.items() if key[0] is kind)
        yield Row(
            f"batch_memory_{kind}",
            growth,
            f"MB more at most in a batch of {ITEMS:,} items",
            "MB before",
            start,
            growth / start,
            Target("value", "≤", GROWTH_MAX_MB),
        )


def _memory_mb(watched: Mapping[Key, psutil.Process]) -> dict[Key, float]:
    """Resident memory of processes that were found before: to find them takes as long as hundreds of requests."""
    return {key: process.memory_info().rss / 1e6 for key, process in watched.items()}


def _batch(client: httpx.Client, count: int, watched: Mapping[Key, psutil.Process], peak: dict[Key, float]) -> float:
    """Seconds that a batch of so many requests took; `peak` is raised to what memory was in between."""
    content = "\n".join(_line(number) for number in range(count)).encode()
    sent = _ok(client.post("/files", files={"file": ("batch.jsonl", content)}, data={"purpose": "batch"}))
    started = time.perf_counter()
    made = _ok(client.post("/batches", json={"input_file_id": sent["id"], "endpoint": "/v2/models"}))
    while True:
        batch = _ok(client.get(f"/batches/{made['id']}"))
        elapsed_s = time.perf_counter() - started
        if batch["status"] == "completed":
            break
        if batch["status"] == "failed" or elapsed_s > TIMEOUT_S:
            raise TimeoutError(f"the batch is {batch['status']}: {batch['request_counts']}")
        for key, size in _memory_mb(watched).items():
            peak[key] = max(peak[key], size)
        time.sleep(POLL_S)
    assert batch["request_counts"] == {"total": count, "completed": count, "failed": 0}
    return elapsed_s


def _line(number: int) -> str:
    body = request((float(number), 2.0))
    return json.dumps({"custom_id": f"r-{number}", "method": "POST", "url": "/v2/models/doubling/infer", "body": body})


def _ok(answer: httpx.Response) -> Mapping[str, Any]:
    answer.raise_for_status()
    told: Mapping[str, Any] = answer.json()
    return told
