"""A process that has traded for a week holds no more memory than one that has just begun."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.performance.growth import BATCHES, ORDERS, WARM_UP_BATCHES
from tests.waiting import PATIENCE_S

GROWTH_MAX_BYTES = ORDERS * BATCHES * 64  # keeping the id of each order would take more


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_orders_that_passed(
    database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    given = {"servers": [database_url, node_database_url, redis_url, namespace], "folder": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.performance.growth"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["settled"] == ORDERS * (WARM_UP_BATCHES + BATCHES)
    assert found["growth_bytes"] < GROWTH_MAX_BYTES
