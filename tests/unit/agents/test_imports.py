"""What agents import: start-up time is what that costs."""

import subprocess
import sys

PROGRAM = "import agents.inference.launch, sys; print(*sys.modules)"


def test_an_inference_agent_starts_without_the_markets_tables_and_services() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    imported = set(ended.stdout.split())
    assert "backend.storage.node_database" in imported
    assert not imported & {"backend.storage.tables", "backend.storage.unit_of_work", "alembic", "sqlalchemy.orm"}
    assert not [name for name in imported if name.startswith("backend.services")]
