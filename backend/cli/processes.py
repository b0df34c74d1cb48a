"""Finds and ends the processes of one data folder, by what they show of themselves: no pid file to go stale. Linux."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from backend.domain.fleet import fleet_label
from backend.domain.titles import Title

MANAGER = ["-m", "agents", "manager"]
FLEET = "SWARMEX_FLEET"  # in the environment of what a container runs
FOLDER = "SWARMEX_DATA_FOLDER"
DEFAULT_FOLDER = ".swarmex"
KILL_WAIT_S = 5.0
POLL_S = 0.05


def manager_of(folder: Path) -> psutil.Process | None:
    """The manager that keeps the fleet of a data folder."""
    return next(iter(_found(lambda process: _is_manager(process, folder))), None)


def members_of(folder: Path) -> list[psutil.Process]:
    """The agents of a data folder that run, whether their manager does or not."""
    label = fleet_label(str(folder))
    return _found(lambda process: _fleet_of(process) == label)


def end(processes: Sequence[psutil.Process], grace_s: float) -> bool:
    """Ask processes to end, kill what has not after `grace_s`; True when all ended by themselves."""
    _send(processes, signal.SIGTERM)
    if not (left := _await_gone(processes, grace_s)):
        return True
    _send(left, signal.SIGKILL)
    _await_gone(left, KILL_WAIT_S)
    return False


def title_of(process: psutil.Process) -> Title | None:
    """What a member shows of itself; None for any other process. Raises psutil.Error."""
    return Title.of(" ".join(process.cmdline()))


def _fleet_of(process: psutil.Process) -> str | None:
    """The fleet that a process is of, by its title or, in a container, by its environment."""
    title = title_of(process)
    if title is not None:
        return title.fleet if process.uids().real == os.getuid() else None
    return process.environ().get(FLEET)


def _is_manager(process: psutil.Process, folder: Path) -> bool:
    command = process.cmdline()
    if command[-len(MANAGER) :] != MANAGER or process.status() == psutil.STATUS_ZOMBIE:
        return False
    chosen = Path(process.environ().get(FOLDER, DEFAULT_FOLDER)).expanduser()
    return Path(process.cwd()) / chosen == folder


def _found(matches: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is somebody else's
            if matches(process):
                found.append(process)
    return found


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _await_gone(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_s
    while (left := [p for p in processes if _lives(p)]) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
