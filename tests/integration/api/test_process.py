"""The API as a process: where it listens, that it is listed, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backend.bootstrap import Settings, Swarmex, connect
from backend.services import fleet
from tests.waiting import PATIENCE_S


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def process(database_url: str, redis_url: str, namespace: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "SWARMEX_DATABASE_URL": database_url,
        "SWARMEX_REDIS_URL": redis_url,
        "SWARMEX_BUS_NAMESPACE": namespace,
        "SWARMEX_DATA_FOLDER": str(folder),
        "SWARMEX_API_PORT": "0",
        "SWARMEX_AGENT_NAME": "front-1",
    }
    with subprocess.Popen([sys.executable, "-m", "backend.api"], env=environment, stderr=subprocess.PIPE) as running:
        yield running
        running.kill()


@pytest.fixture
def market(database_url: str, redis_url: str, folder: Path) -> Iterator[Swarmex]:
    wired = connect(Settings(database_url=database_url, redis_url=redis_url, data_folder=folder))
    yield wired
    wired.close()


def address(folder: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "api.url").exists():
        assert time.monotonic() < deadline, "no address was written"
        time.sleep(0.05)
    return (folder / "api.url").read_text().strip()


def states(market: Swarmex) -> list[tuple[str, str, str]]:
    return [(str(a.kind), a.name, str(a.state)) for a in fleet.list_agents(market.uow())]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_it_writes_its_address_is_listed_and_ends_in_good_order(
    process: subprocess.Popen[bytes], folder: Path, market: Swarmex, name: str
) -> None:
    url = address(folder)
    assert httpx.get(f"{url}/health/ready", timeout=PATIENCE_S).json()["status"] == "ready"
    assert states(market) == [("api", "front-1", "up")]
    process.send_signal(signal.Signals[name])
    assert process.wait(PATIENCE_S) == 0
    assert not (folder / "api.url").exists()
    assert states(market) == [("api", "front-1", "stopped")]


def test_a_second_server_on_the_same_folder_keeps_its_own_address(
    process: subprocess.Popen[bytes], folder: Path, market: Swarmex
) -> None:
    address(folder)
    (folder / "api.url").write_text("http://127.0.0.1:1\n")  # as a later server would
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert (folder / "api.url").read_text() == "http://127.0.0.1:1\n"


def test_an_agent_that_is_told_to_drain_ends_by_itself(
    process: subprocess.Popen[bytes], folder: Path, market: Swarmex
) -> None:
    address(folder)
    with market.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE agents SET state = 'draining'")
    assert process.wait(PATIENCE_S) == 0


def test_an_address_that_is_taken_is_an_error_with_a_reason(folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = os.environ | {
            "SWARMEX_DATABASE_URL": "postgresql+psycopg://x@127.0.0.1:1/x",
            "SWARMEX_REDIS_URL": "redis://127.0.0.1:1/0",
            "SWARMEX_DATA_FOLDER": str(folder),
            "SWARMEX_API_PORT": str(taken.getsockname()[1]),
        }
        ended = subprocess.run(
            [sys.executable, "-m", "backend.api"], env=environment, capture_output=True, timeout=PATIENCE_S, check=False
        )
    assert ended.returncode == 1
    assert b"SWARMEX_API_PORT" in ended.stderr
    assert b"Traceback" not in ended.stderr
