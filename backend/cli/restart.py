"""`swarmex agents restart`: one agent after another, so that the work goes on meanwhile."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from backend.cli import agent_views
from backend.cli.connection import market, operator
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, notes, table, words
from backend.cli.signals import uninterrupted
from backend.domain.errors import Conflict, Unavailable
from backend.domain.fleet import DRAIN_MAX_S, AgentState
from backend.domain.health import START_MAX_S
from backend.domain.incident_rules import entry_of

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.domain.ids import AgentId
    from backend.storage.fleet import Manager

EXAMPLES = examples("swarmex agents restart pool.edge", "swarmex agents restart pool.edge-0 --json")
POLL_S = 0.25
STEP_MAX_S = DRAIN_MAX_S + START_MAX_S  # one agent may finish what it holds, and its successor may take time to start


def restart(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A fleet entry, or one of its agents.")],
    as_json: AsJson = False,
) -> None:
    """Restart agents of the fleet one by one: each drains and its successor is up before the next one does."""
    from backend import bootstrap
    from backend.services import activity

    with market() as wired:
        now = bootstrap.utc_now()
        found = activity.show(wired.uow(), now, name)
        if found.entry is None:
            raise Conflict(
                f"{name} is not of the fleet: nobody would start it again",
                code="not_in_the_fleet",
                field="name",
                accepted="a fleet entry or one of its agents",
            )
        _require_manager(found.manager, now)
        old = [one.agent for one in found.agents if one.lives(now) and one.agent.state is AgentState.UP]
        entry, done = found.entry.name, []
        with Progress(console=notes(), disable=as_json, transient=True) as progress:
            task = progress.add_task(f"restarting {entry}", total=len(old))
            for agent in old:
                _restart_one(wired, entry, agent.name, agent.id)
                done.append({"name": agent.name, "id": agent.id})
                progress.advance(task)
        document = {"entry": entry, "restarted": done}
    emit(as_json, document, table([words("Restarted")], [[one["name"]] for one in done]))


def _require_manager(manager: "Manager | None", now: datetime) -> None:
    if not agent_views.manages(manager, now):
        raise Unavailable(
            "no manager runs: nobody would start the successors",
            code="no_manager",
            accepted="a market that is up",
        )


def _restart_one(wired: "Swarmex", entry: str, name: str, agent_id: "AgentId") -> None:
    """Drain one agent, and wait until it has ended and the entry is complete without it."""
    from backend import bootstrap
    from backend.services import activity, fleet

    with uninterrupted():
        fleet.drain_agent(wired.uow(), bootstrap.utc_now(), operator(), name)

    def replaced() -> bool:
        now = bootstrap.utc_now()
        with uninterrupted():  # a Ctrl-C inside a database driver's callback would be lost
            agents = activity.look(wired.uow(), now)
            specs = {spec.name: spec for spec in fleet.desired(wired.uow())}
        living = [one for one in agents if one.lives(now) and entry_of(one.agent.name) == entry]
        ready = [one for one in living if one.agent.state is AgentState.UP]
        wanted = specs[entry].replicas if entry in specs else 0
        has_ended = all(one.agent.id != agent_id for one in living)
        return has_ended and len(ready) >= wanted

    _wait(replaced, entry, name)


def _wait(is_over: Callable[[], bool], entry: str, name: str) -> None:
    deadline = time.monotonic() + STEP_MAX_S
    while not is_over():
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{entry} is not complete {STEP_MAX_S:.0f} s after {name} was asked to end; the others go on as before",
                code="restart_stalled",
                accepted="try again when it is",
            )
        time.sleep(POLL_S)
