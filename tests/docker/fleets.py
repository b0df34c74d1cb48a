"""Fleets for one test: a runtime of each kind, and everything gone afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from agents.runtimes.base import Member, Running, Runtime
from agents.runtimes.choice import RuntimeChoice, RuntimeName, choose
from agents.runtimes.environment import Deployment
from backend.domain.fleet import AgentKind, Resources
from tests.waiting import until

STUB_PROGRAM = Path(__file__).parent / "stub_agents.py"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A runtime and what it was made from."""

    kind: RuntimeName
    runtime: Runtime
    deployment: Deployment
    image: str

    def successor(self, fleet: str | None = None) -> Runtime:
        """What a manager that knows nothing would use, for this fleet or another one."""
        deployment = replace(self.deployment, fleet=fleet or self.deployment.fleet)
        return choose(RuntimeChoice(self.kind, self.image), deployment, os.environ)

    def start(self, *arguments: str, number: int = 0, resources: Resources | None = None) -> Running:
        """Start a member and wait until its program has begun."""
        running = self.runtime.start(member(*arguments, number=number, resources=resources))
        until(lambda: "up" in self.output(running), "its program has begun")
        return running

    def output(self, running: Running, lines: int = 100) -> str:
        """The last lines of a member, in one piece."""
        return "\n".join(self.runtime.logs(running, lines))

    def await_empty(self) -> None:
        """Wait until nobody runs."""
        until(lambda: self.runtime.list() == [], "nobody runs")


def member(*arguments: str, number: int = 0, resources: Resources | None = None, image: str | None = None) -> Member:
    """A member of the fleet's only entry."""
    return Member("m.1", number, AgentKind.PRICING, arguments, image, resources)


@contextmanager
def fleet_of(kind: RuntimeName, image: str, folder: Path) -> Iterator[Fleet]:
    """A fleet of its own, in `folder`; ended and removed after the block."""
    deployment = Deployment(
        fleet=uuid4().hex[:16],
        folder=folder,
        database_url="postgresql://owner:secret@nowhere.invalid/none",
        redis_url="redis://nowhere.invalid",
        node_database_url=lambda: "postgresql://node@nowhere.invalid/none",
        objects_url=(folder / "objects").as_uri(),
        model_cache=folder / "cache",
        bus_namespace="test",
        log_level="INFO",
    )
    fleet = Fleet(kind, choose(RuntimeChoice(kind, image), deployment, os.environ), deployment, image)
    try:
        yield fleet
    finally:
        for running in fleet.runtime.list():
            fleet.runtime.kill(running)
        fleet.await_empty()
        for _ in range(3):  # what has ended, then the network
            fleet.runtime.tidy()
