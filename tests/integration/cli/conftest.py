"""The operator's tool on a migrated database and a Redis of the test's own."""

import sys
from pathlib import Path

import pytest
import structlog

from tests.integration.cli.runner import Cli


@pytest.fixture
def cli(
    database_url: str,
    node_database_url: str,
    redis_url: str,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """`swarmex` in the folder of the test's market."""
    # Not to `sys.stderr`: pytest swaps and closes that one under threads that log.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    for name, value in {
        "DATABASE_URL": database_url,
        "NODE_DATABASE_URL": node_database_url,
        "REDIS_URL": redis_url,
        "BUS_NAMESPACE": namespace,
        "DATA_FOLDER": str(tmp_path / "data"),
        "API_PORT": "0",
    }.items():
        monkeypatch.setenv(f"SWARMEX_{name}", value)
    for name in ("SWARMEX_KEY", "SWARMEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return Cli(capsys)
