"""The processes of the swarm."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from backend.cli import agent_views, fleet_entries, logs, policy, restart, top
from backend.cli.confirmations import Yes, confirm_processes
from backend.cli.connection import market, operator
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, record, table, words
from backend.domain.fleet import AgentKind, AgentState
from backend.domain.work import AGENT_LOST_S

if TYPE_CHECKING:
    from backend.storage.agents import AgentStatus

verbs = group("The swarm's own processes.")

LOST = "lost"


@verbs.command("list", epilog=examples("swarmex agents list", "swarmex agents list --all --json"))
def list_agents(
    everyone: Annotated[
        bool, typer.Option("--all", help="Also those of the last day that stopped or were replaced.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the agents; lost ones have not shown themselves for 3 seconds."""
    from backend import bootstrap
    from backend.services import fleet

    with market() as wired:
        now = bootstrap.utc_now()
        found = [document(agent, now) for agent in fleet.list_agents(wired.uow())]
    living = {_post(agent) for agent in found if agent["state"] not in (LOST, AgentState.STOPPED)}
    documents = [agent for agent in found if everyone or not _is_history(agent, living)]
    emit(as_json, documents, listed(documents))


@verbs.command(
    epilog=examples("swarmex agents show", "swarmex agents show pool.edge-0", "swarmex agents show pool.edge --json")
)
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="An agent, by name or id, or a fleet entry; else all entries.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how well agents are and why, and why there are as many of them as there are.

    Without a NAME, list the entries of the fleet: how many agents each should have and has.
    """
    from backend import bootstrap
    from backend.services import activity, fleet

    with market() as wired:
        now = bootstrap.utc_now()
        if name is None:
            agents = activity.look(wired.uow(), now)
            entries = agent_views.entries(fleet.desired(wired.uow()), agents, now)
            emit(as_json, entries, agent_views.entries_drawn(entries))
            return
        document = agent_views.shown(activity.show(wired.uow(), now, name), now)
    emit(as_json, document, agent_views.drawn(document))


@verbs.command(epilog=examples("swarmex agents scale pool.edge 3", "swarmex agents scale pricing 0 --json"))
def scale(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A fleet entry, as in pool.edge.")],
    replicas: Annotated[int, typer.Argument(metavar="N", help="How many there should be, within its bounds.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Want so many replicas of a fleet entry; those above finish what they hold first."""
    from backend import bootstrap
    from backend.services import fleet, managers

    with market() as wired:
        now = bootstrap.utc_now()
        known = next((one for one in fleet.desired(wired.uow()) if one.name == name), None)
        if known and replicas <= known.replicas_max:
            confirm_processes(wired.settings, known.replicas, replicas, yes=yes, as_json=as_json)
        spec = fleet.scale(wired.uow(), now, operator(), name, replicas)
        agent_views.note_unmanaged(managers.manager_of(wired.uow()), now)
    document = agent_views.entry(spec)
    emit(as_json, document, agent_views.entry_drawn(document))


@verbs.command(epilog=examples("swarmex agents drain pool.edge-1"))
def drain(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="An agent's name, as in pool.edge-1.")],
    as_json: AsJson = False,
) -> None:
    """Let an agent finish what it holds and end; the manager starts another one while one is wanted."""
    from backend import bootstrap
    from backend.services import fleet, managers

    with market() as wired:
        now = bootstrap.utc_now()
        agent_id = fleet.drain_agent(wired.uow(), now, operator(), agent)
        agent_views.note_without_successor(managers.manager_of(wired.uow()), now)
    document = {"id": agent_id, "name": agent, "state": AgentState.DRAINING}
    emit(as_json, document, record(document))


verbs.command("add", epilog=fleet_entries.ADD_EXAMPLES)(fleet_entries.add)
verbs.command("set", epilog=fleet_entries.SET_EXAMPLES)(fleet_entries.set_entry)
verbs.command("remove", epilog=fleet_entries.REMOVE_EXAMPLES)(fleet_entries.remove)
verbs.command("policy", epilog=policy.EXAMPLES)(policy.policy)
verbs.command("restart", epilog=restart.EXAMPLES)(restart.restart)
verbs.command("logs", epilog=logs.EXAMPLES)(logs.logs)
verbs.command("top", epilog=top.EXAMPLES)(top.top)


def listed(documents: list[dict[str, Any]]) -> Table:
    """Agents below each other; where there is little room ids are folded, since names are what other verbs take."""
    columns = [words("Agent"), Column("Name", no_wrap=True), words("State"), figures("Pid"), figures("Seen")]
    rows = [
        (a["id"], a["name"], a["state"], a["pid"], f"{a['seen_s']:.1f} s", a["queue"] or _address(a["endpoint"]))
        for a in documents
    ]
    return table([*columns, words("Serves")], rows)


def _is_history(agent: dict[str, Any], living: set[str]) -> bool:
    """Whether one is missed by nobody: it stopped, or was lost and another goes on in its place."""
    return agent["state"] == AgentState.STOPPED or (agent["state"] == LOST and _post(agent) in living)


def _post(agent: dict[str, Any]) -> str:
    """What a successor has in common with it: each manager has a name of its own, and one is enough."""
    return str(agent["kind"] if agent["kind"] == AgentKind.MANAGER else agent["name"])


def _address(endpoint: str | None) -> str | None:
    return endpoint and endpoint.removeprefix("http://")


def document(agent: "AgentStatus", now: datetime) -> dict[str, Any]:
    """An agent as it is told of."""
    seen_s = (now - agent.beat_at).total_seconds()
    silent = agent.state is not AgentState.STOPPED and seen_s > AGENT_LOST_S
    return {
        "id": agent.id,
        "kind": agent.kind,
        "name": agent.name,
        "state": LOST if silent else agent.state,
        "host": agent.host,
        "pid": agent.pid,
        "queue": agent.queue,
        "endpoint": agent.endpoint,
        "started_at": agent.started_at,
        "seen_s": round(max(0.0, seen_s), 3),
    }
