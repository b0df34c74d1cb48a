"""What agents import: start-up time is what that costs."""

import subprocess
import sys

PROGRAM = "import agents.inference.launch, sys; print(*sys.modules)"


def test_an_inference_agent_starts_without_the_markets_tables_and_services() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    imported = set(ended.stdout.split())
    assert "backend.storage.node_database" in imported
    assert not imported & {
        "backend.storage.tables",
        "backend.storage.unit_of_work",
        "alembic",
        "sqlalchemy",
        "onnxruntime",
    }
    assert not [name for name in imported if name.startswith("backend.services")]


def test_an_agents_process_has_no_use_for_what_prints_in_colour_and_for_metrics_of_redis() -> None:
    program = (
        "import runpy, sys\nsys.argv[:] = ['agents', 'inference', '--pool', 'p']\n"
        "try: runpy.run_module('agents', run_name='__main__', alter_sys=True)\n"
        "except SystemExit: pass"
    )
    traced = [sys.executable, "-X", "importtime", "-c", program]
    ended = subprocess.run(traced, capture_output=True, text=True, check=False, env={})
    assert "no_redis_url" in ended.stderr or "queues' URL" in ended.stderr
    imported = {
        line.rsplit("|", 1)[-1].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")
    }
    assert "redis" in imported
    assert not imported & {"rich.console", "pygments", "yaml.loader", "fsspec", "opentelemetry.sdk.metrics._internal"}
