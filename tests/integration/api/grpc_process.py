"""`swarmex grpc` as a process, since its messages and a client's cannot be in one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.bootstrap import Swarmex
from tests.waiting import until

ADDRESS_FILE = "grpc.address"


def environment(market: Swarmex, folder: Path) -> dict[str, str]:
    """Where the process finds the market, and where it leaves its address."""
    settings = market.settings
    assert settings.database_url
    assert settings.redis_url
    return os.environ | {
        "SWARMEX_DATABASE_URL": settings.database_url,
        "SWARMEX_REDIS_URL": settings.redis_url,
        "SWARMEX_BUS_NAMESPACE": settings.bus_namespace,
        "SWARMEX_DATA_FOLDER": str(folder),
    }


@contextmanager
def grpc_process(market: Swarmex, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process and its address, until the block ends."""
    command = [sys.executable, "-m", "backend.gateway.grpc", "127.0.0.1", "0"]  # as `swarmex grpc --port 0` ends up
    with subprocess.Popen(command, env=environment(market, folder), stderr=subprocess.PIPE) as running:
        try:
            until(lambda: (folder / ADDRESS_FILE).exists() or running.poll() is not None, "it is up, or has ended")
            assert running.returncode is None, running.communicate()[1].decode()
            yield running, (folder / ADDRESS_FILE).read_text().strip()
        finally:
            running.kill()
