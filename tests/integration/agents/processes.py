"""Agents as real processes, and waiting for what they do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agents.manager.agent import deployment_of
from agents.runtimes.base import Member
from agents.runtimes.environment import (
    FLEET,
    METRICS_PORT,
    Deployment,
    environment_of,
)
from backend.domain.fleet import AgentKind
from tests.forked import Forked
from tests.market import Market
from tests.waiting import PATIENCE_S


def deployment(market: Market, node_database_url: str) -> Deployment:
    """The market's deployment, with the node role that the tests have."""
    shared = deployment_of(market.app)
    return Deployment(
        shared.fleet,
        shared.folder,
        shared.database_url,
        shared.redis_url,
        lambda: node_database_url,
        shared.objects_url,
        shared.model_cache,
        shared.bus_namespace,
        shared.log_level,
    )


class AgentProcess:
    """An agent, or another program in its place, with the environment that the manager would give it."""

    def __init__(
        self,
        shared: Deployment,
        *arguments: str,
        without: Sequence[str] = (),
        metrics_port: int | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        kind = AgentKind(arguments[0])
        member = Member(arguments[0], 0, kind, arguments[1:])
        environment = environment_of(member, shared, os.environ)
        for label in (FLEET, *without):
            del environment[label]
        if metrics_port is not None:
            environment[METRICS_PORT] = str(metrics_port)
        self._log = shared.folder / f"{kind}-{time.monotonic_ns()}.log"
        self.process: Forked | subprocess.Popen[bytes]
        if program is None:
            self.process = Forked("agents.__main__", arguments, environment, self._log)
        else:
            with self._log.open("wb") as output:
                command = [sys.executable, *program, *arguments]
                self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The facts of that name that it has logged."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [fact for line in lines if (fact := json.loads(line)).get("event") == name]

    def says(self, name: str) -> Callable[[], bool]:
        """Whether it has logged such a fact by now."""
        return lambda: bool(self.events(name))

    def log(self) -> str:
        """All that it wrote."""
        return self._log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = PATIENCE_S) -> int:
        """Its exit code after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


Start = Callable[..., AgentProcess]


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except FileNotFoundError:
        return False
