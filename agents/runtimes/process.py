"""Members as processes of this machine, each in a session of its own, with its labels in its environment.

They outlive the manager on purpose; the next one finds them by their labels. Linux.
"""

import builtins
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from agents.runtimes.base import LOG_LINES_MAX, Member, Running, StopsFirst
from agents.runtimes.environment import FLEET, FLEET_MEMBER, from_label
from agents.runtimes.faces import FACES
from agents.runtimes.logs import Logs

ROOT = Path(__file__).parent.parent.parent
START_FIELD = 19  # of /proc/<pid>/stat, counted from what follows the name

log = structlog.get_logger(__name__)


class ProcessRuntime(StopsFirst):
    """Child processes with their output in `<data folder>/logs`."""

    def __init__(self, fleet: str, folder: Path, environment_of: Callable[[Member], dict[str, str]]) -> None:
        self._fleet = fleet
        self._environment_of = environment_of
        self._logs = Logs(folder / "logs")
        self._children: dict[int, tuple[Member, subprocess.Popen[bytes]]] = {}

    def list(self) -> builtins.list[Running]:
        self._collect_ended()
        # Our own are known without their labels, which the kernel shows a moment after a process has started.
        found = [_running(member, pid) for pid, (member, _) in self._children.items()]
        for pid in psutil.pids():
            if pid in self._children:
                continue
            # What a member starts inherits its labels, but does not lead its session.
            with suppress(psutil.Error, OSError):
                if os.getsid(pid) == pid and (running := self._recognise(psutil.Process(pid))) is not None:
                    found.append(running)
        return found

    def start(self, member: Member) -> Running:
        environment = self._environment_of(member)
        output = self._logs.open(member.label)
        try:
            child = subprocess.Popen(
                _command(member),
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            os.close(output)
        self._children[child.pid] = (member, child)
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

    def _recognise(self, process: psutil.Process) -> Running | None:
        """The member that `process` is, if it lives and is of this fleet; psutil.Error for others'."""
        environment = process.environ()
        if environment.get(FLEET) != self._fleet or process.status() == psutil.STATUS_ZOMBIE:
            return None
        member = from_label(environment.get(FLEET_MEMBER, ""))
        return None if member is None else _running(member, process.pid)

    def _collect_ended(self) -> None:
        for pid, (member, child) in list(self._children.items()):
            if (code := child.poll()) is not None:
                del self._children[pid]
                log.info("member.ended", member=member.label, pid=pid, code=code)


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


def _command(member: Member) -> builtins.list[str]:
    face = FACES.get(member.kind)
    module = ("agents", member.kind) if face is None else (face.module,)
    return [sys.executable, "-m", *module, *member.arguments]
