"""`swarmex agents top`: what the swarm does, refreshed each second."""

import socket
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psutil
from rich.table import Column, Table

from backend.cli import agent_views
from backend.cli.connection import market
from backend.cli.live import keep_showing
from backend.cli.options import AsJson, examples
from backend.cli.output import GAP_COLUMNS, console, emit, table, text
from backend.domain.work import BEAT_S

if TYPE_CHECKING:
    from backend.services.activity import Activity

EXAMPLES = examples("swarmex agents top", "swarmex agents top --json   # one look, a second long")
FIRST_S = 1.5 * BEAT_S
CLOCK_SLACK_S = 5.0  # a process is a bit older than the agent in it; one much younger has only its number
MB = 1 << 20


def top(as_json: AsJson = False) -> None:
    """Show each agent's state, turns or work a second, load and, on this machine, CPU and memory, until Ctrl-C."""
    from backend import bootstrap
    from backend.services import activity

    with market() as wired:
        gauges = Gauges()

        def look() -> list[dict[str, Any]]:
            now = bootstrap.utc_now()
            return gauges.read([one for one in activity.look(wired.uow(), now) if one.lives(now)], now)

        look()  # rates need two looks, with a beat of each agent in between
        time.sleep(FIRST_S)
        if as_json:
            emit(as_json, look(), "")
            return
        keep_showing(lambda: drawn(look()))


@dataclass
class Gauges:
    """What has to be remembered between two looks: work done so far, and processes that are measured."""

    _done: dict[object, tuple[int, datetime, float | None]] = field(default_factory=dict)
    _processes: dict[object, psutil.Process] = field(default_factory=dict)

    def read(self, agents: "list[Activity]", now: datetime) -> list[dict[str, Any]]:
        """Each agent with its rates since the look before; None where they are not known."""
        documents = [self._document(one, now) for one in agents]
        there = {one.agent.id for one in agents}
        self._done = {agent: known for agent, known in self._done.items() if agent in there}
        self._processes = {agent: process for agent, process in self._processes.items() if agent in there}
        return documents

    def _document(self, one: "Activity", now: datetime) -> dict[str, Any]:
        cpu, memory = self._measured(one)
        rate = self._rate(one)
        return agent_views.agent(one, now) | {"per_s": rate, "cpu_percent": cpu, "memory_mb": memory}

    def _rate(self, one: "Activity") -> float | None:
        """By the agent's own beats, which are not in step with the looks."""
        done, at, rate = self._done.get(one.agent.id, (0, one.agent.beat_at, None))
        passed_s = (one.agent.beat_at - at).total_seconds()
        if passed_s > 0:
            rate = round((one.agent.work_done - done) / passed_s, 1)
        self._done[one.agent.id] = (one.agent.work_done, one.agent.beat_at, rate)
        return rate

    def _measured(self, one: "Activity") -> tuple[float | None, int | None]:
        if one.agent.host != socket.gethostname():
            return None, None
        try:
            process = self._processes.get(one.agent.id)
            if process is None:
                process = self._processes[one.agent.id] = psutil.Process(one.agent.pid)
                process.cpu_percent(None)  # since when
            if process.create_time() > one.agent.started_at.timestamp() + CLOCK_SLACK_S:
                return None, None
            return process.cpu_percent(None), process.memory_info().rss // MB
        except psutil.Error:
            return None, None


COLUMNS = {
    "name": "Agent",
    "state": "State",
    "verdict": "Health",
    "per_s": "Per s",
    "work_done": "Done",
    "in_flight": "In flight",
    "queued": "Queued",
    "cpu_percent": "CPU %",
    "memory_mb": "MB",
    "seen_s": "Seen s",
}
LEFT_OUT = ("seen_s", "work_done", "memory_mb", "state", "cpu_percent", "queued")  # the first, where room is short


def drawn(documents: list[dict[str, Any]], width: int | None = None) -> Table:
    """The agents as a table: names are whole, and in a narrow terminal some columns are left out; --json has all."""
    names = list(COLUMNS)
    width = console().width if width is None else width
    for name in LEFT_OUT:
        if sum(_width(name, documents) + GAP_COLUMNS for name in names) - GAP_COLUMNS <= width:
            break
        names.remove(name)
    columns = [
        Column(COLUMNS[name], no_wrap=True, justify="left" if name in ("name", "state", "verdict") else "right")
        for name in names
    ]
    return table(columns, [[document[name] for name in names] for document in documents])


def _width(name: str, documents: list[dict[str, Any]]) -> int:
    return max(map(len, (COLUMNS[name], *(text(document[name]) for document in documents))))
