"""Processes are found by what they show of themselves, and ended with patience."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from agents.manager.agent import deployment_of
from agents.runtimes import environment
from backend.bootstrap import Settings, Swarmex
from backend.cli import processes
from backend.domain.fleet import fleet_label
from backend.domain.titles import Title
from tests.waiting import PATIENCE_S, eventually

SLEEP = "import time; time.sleep(99)"
TITLED = f"import sys, setproctitle; setproctitle.setproctitle(sys.argv[1]); {SLEEP}"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(99)"


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that a test starts."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for child in started:
        child.kill()
        child.wait()


def start(code: str, *arguments: str, **changes: str) -> subprocess.Popen[bytes]:
    """A Python process with these arguments and settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SWARMEX_")}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env={**clean, **changes}, stdout=subprocess.PIPE)


def found_soon(look: Callable[[], psutil.Process | None], wanted: int) -> bool:
    """Whether the process comes to show its arguments."""
    return eventually(lambda: (process := look()) is not None and process.pid == wanted)


def test_fleets_are_labelled_as_the_manager_labels_them(tmp_path: Path) -> None:
    settings = Settings(data_folder=tmp_path)
    deployment = deployment_of(Swarmex(settings, "postgresql+psycopg://nowhere", "redis://nowhere"))
    assert fleet_label(str(settings.folder)) == deployment.fleet
    assert processes.FLEET == environment.FLEET


def test_the_manager_of_a_folder_is_found_and_no_other(tmp_path: Path, children: list[subprocess.Popen[bytes]]) -> None:
    mine = start(SLEEP, *processes.MANAGER, SWARMEX_DATA_FOLDER=str(tmp_path))
    other = start(SLEEP, *processes.MANAGER, SWARMEX_DATA_FOLDER=str(tmp_path / "other"))
    children += [mine, other]
    assert found_soon(lambda: processes.manager_of(tmp_path), mine.pid)
    assert processes.manager_of(tmp_path / "third") is None
    mine.kill()
    mine.wait()
    assert processes.manager_of(tmp_path) is None


def test_members_are_found_by_their_fleet(tmp_path: Path, children: list[subprocess.Popen[bytes]]) -> None:
    member = start(TITLED, str(Title("a-0", fleet_label(str(tmp_path)), '["a"]')))
    contained = start(SLEEP, SWARMEX_FLEET=fleet_label(str(tmp_path)))
    others = [start(TITLED, str(Title("a-0", "another", '["a"]'))), start(SLEEP, SWARMEX_FLEET="another")]
    children += [member, contained, *others]
    wanted = {member.pid, contained.pid}
    assert eventually(lambda: {process.pid for process in processes.members_of(tmp_path)} == wanted)


def test_who_ends_by_itself_is_not_killed_and_who_does_not_is(children: list[subprocess.Popen[bytes]]) -> None:
    polite, stubborn = start(SLEEP), start(STUBBORN)
    children += [polite, stubborn]
    assert stubborn.stdout
    stubborn.stdout.readline()
    assert processes.end([psutil.Process(polite.pid)], PATIENCE_S)
    assert not processes.end([psutil.Process(stubborn.pid)], 0.2)
    assert stubborn.wait(PATIENCE_S) == -9
    assert processes.end([], 0)
