"""Megabytes that aggregating 500 updates of a million weights takes beside its result, for each kind of rule."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tests.performance.bench import Bench
from tests.performance.rows import Row, Target

PARTICIPANTS, SIZE = 500, 1_000_000
STRATEGIES = ("fedavg", "fedadam", "median", "trimmed_mean", "multikrum")
FLOWER_MB = 4_000.0  # as recorded: it parses all updates, and then scales each
EXTRA_MAX_MB = 64.0
TIMEOUT_S = 60


def run(bench: Bench) -> Iterator[Row]:
    """Each in a process of its own, the most that any takes."""
    seen = {}
    for name in STRATEGIES:
        with tempfile.TemporaryDirectory(dir=bench.servers.folder) as folder:
            command = [sys.executable, "-m", "tests.performance.aggregation_memory", name]
            command += [str(PARTICIPANTS), str(SIZE), folder]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        seen[name] = float(ended.stdout)
        bench.step()
    worst = max(seen, key=seen.__getitem__)
    yield Row(
        "federated_memory",
        seen[worst],
        f"MB, the most of {len(seen)} strategies ({worst})",
        "MB, Flower as recorded",
        FLOWER_MB,
        seen[worst] / FLOWER_MB,
        Target("value", "≤", EXTRA_MAX_MB),
    )
