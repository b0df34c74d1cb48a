"""Agents that tests start: forked from one zygote a run, which the managers that tests start share."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from agents.runtimes.environment import passed_on
from agents.zygote.birth import Birth
from agents.zygote.client import SHARED, Child, Zygote
from tests.waiting import PATIENCE_S


@cache
def shared_zygote() -> Zygote:
    """The zygote of this run's worker; managers that it starts from now on find it in their environment."""
    zygote = Zygote(passed_on(os.environ))
    os.environ[SHARED] = zygote.warm()
    return zygote


class Forked:
    """A program of ours in a process, to be handled as one of `subprocess` is."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        birth = Birth(module, tuple(arguments), environment, f"{module} {' '.join(arguments)} of a test")
        with log.open("ab") as output:
            self._child: Child = shared_zygote().fork(birth, output.fileno())
        self.pid = self._child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.code

    def poll(self) -> int | None:
        return self._child.code if self._child.poll() else None

    def wait(self, timeout: float = PATIENCE_S) -> int:
        try:
            code = self._child.wait(timeout)
        except TimeoutError as error:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout) from error
        assert code is not None, "its zygote has ended"
        return code

    def send_signal(self, number: int) -> None:
        if not self._child.poll():
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
