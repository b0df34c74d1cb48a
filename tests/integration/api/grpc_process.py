"""`swarmex grpc` as a process, as it always runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from backend.bootstrap import Swarmex
from tests.waiting import PATIENCE_S, until

ADDRESS_FILE = "grpc.address"
MODULE = "backend.gateway.grpc"
# With other limits than the usual ones, which would take minutes or thousands of connections to reach.
LIMITED = """
import sys
from backend.gateway import limits
for name, value in (word.split("=") for word in sys.argv[1:]):
    setattr(limits, name, type(getattr(limits, name))(value))
from backend.gateway.grpc.__main__ import main
sys.exit(main())
"""


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
        "SWARMEX_GRPC_PORT": "0",
    }


@contextmanager
def grpc_process(
    market: Swarmex, folder: Path, limits: Mapping[str, float] | None = None, **settings: object
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process and its address, until the block ends; with settings of its own, and limits of the gateway's."""
    chosen = {f"SWARMEX_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", MODULE]  # as `swarmex grpc` ends up
    if limits:
        command = [sys.executable, "-c", LIMITED, *(f"{name}={value}" for name, value in limits.items())]
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / "stderr"  # a pipe that nobody reads would stop it once it is full
    known = environment(market, folder) | chosen | {"PYTHONFAULTHANDLER": "1"}
    with said.open("wb") as stderr, subprocess.Popen(command, env=known, stderr=stderr) as running:
        try:
            until(lambda: (folder / ADDRESS_FILE).exists() or running.poll() is not None, "it is up, or has ended")
            assert running.returncode is None, said.read_text()
            yield running, (folder / ADDRESS_FILE).read_text().strip()
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGABRT)  # then it says what its threads are at
            running.wait(PATIENCE_S)
            sys.stderr.write(said.read_text())
            raise
        finally:
            running.kill()
