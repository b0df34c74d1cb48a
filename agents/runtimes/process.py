"""Members as processes of this machine, each in a session of its own, with its labels in its title.

They are forked from a zygote. They outlive it and the manager on purpose; the next one finds them by their titles.
Linux.
"""

import builtins
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from agents.runtimes.base import LOG_LINES_MAX, Member, Running, StopsFirst
from agents.runtimes.environment import from_label, to_label
from agents.runtimes.faces import FACES
from agents.runtimes.logs import Logs
from agents.zygote.birth import Birth
from agents.zygote.client import Child, Zygote
from backend.domain.titles import Title

START_FIELD = 19  # of /proc/<pid>/stat, counted from what follows the name

log = structlog.get_logger(__name__)


class ProcessRuntime(StopsFirst):
    """Processes with their output in `<data folder>/logs`."""

    def __init__(
        self, fleet: str, folder: Path, environment_of: Callable[[Member], dict[str, str]], zygote: Zygote
    ) -> None:
        self._fleet = fleet
        self._environment_of = environment_of
        self._zygote = zygote
        self._logs = Logs(folder / "logs")
        self._children: list[tuple[Member, Child]] = []

    def list(self) -> builtins.list[Running]:
        self._collect_ended()
        found = (self._recognise(pid) for pid in psutil.pids())
        return [running for running in found if running is not None]

    def start(self, member: Member) -> Running:
        title = Title(member.label, self._fleet, to_label(member))
        birth = Birth(_module(member), _arguments(member), self._environment_of(member), str(title))
        output = self._logs.open(member.label)
        try:
            child = self._zygote.fork(birth, output)
        finally:
            os.close(output)
        self._children.append((member, child))
        log.info("member.started", member=member.label, kind=member.kind, pid=child.pid)
        return _running(member, child.pid)

    def ask_to_stop(self, running: Running) -> None:
        pid = _pid(running)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self, running: Running) -> None:
        pid = _pid(running)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def logs(self, running: Running, lines: int) -> Iterator[str]:
        return self._logs.tail(running.member.label, min(lines, LOG_LINES_MAX))

    def tidy(self) -> None:
        self._logs.trim()

    def _recognise(self, pid: int) -> Running | None:
        """The member that a process is, if it lives, is of this fleet and this user's."""
        with suppress(OSError):
            process = Path(f"/proc/{pid}")
            command = (process / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
            title = Title.of(command)  # none of a zombie's
            if title is not None and title.fleet == self._fleet and process.stat().st_uid == os.geteuid():
                member = from_label(title.facts)
                # What a member forks inherits its title, but does not lead its session.
                if member is not None and os.getsid(pid) == pid:
                    return _running(member, pid)
        return None

    def _collect_ended(self) -> None:
        for member, child in self._children:
            if child.poll():
                log.info("member.ended", member=member.label, pid=child.pid, code=child.code)
        self._children = [one for one in self._children if not one[1].ended]


def _running(member: Member, pid: int) -> Running:
    started_s = _started_s(pid)
    return Running(member, f"{pid} {started_s}", started_s)


def _pid(running: Running) -> int | None:
    """The number of its process; None if that has ended, even if another one has its number now."""
    pid, started_s = running.handle.split()
    with suppress(OSError):
        if _started_s(int(pid)) == float(started_s):
            return int(pid)
    return None


def _started_s(pid: int) -> float:
    """Seconds from the machine's start to the process's, which never change; raises OSError if it is not there.

    Not seconds since 1970: the kernel derives those from a clock that is being corrected, so they wander.
    """
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[START_FIELD]) / os.sysconf("SC_CLK_TCK")


def _module(member: Member) -> str:
    face = FACES.get(member.kind)
    return f"{'agents' if face is None else face.module}.__main__"


def _arguments(member: Member) -> tuple[str, ...]:
    return member.arguments if member.kind in FACES else (str(member.kind), *member.arguments)
