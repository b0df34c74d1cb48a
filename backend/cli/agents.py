"""The processes of the swarm."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.connection import market
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, identity, table, words
from backend.domain.fleet import AgentState
from backend.domain.work import AGENT_LOST_S

if TYPE_CHECKING:
    from backend.storage.agents import AgentStatus

verbs = group("The swarm's own processes.")

LOST = "lost"


@verbs.command("list", epilog=examples("swarmex agents list", "swarmex agents list --all --json"))
def list_agents(
    everyone: Annotated[bool, typer.Option("--all", help="Also those that stopped within the last day.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the agents; lost ones have not shown themselves for 3 seconds."""
    from backend import bootstrap
    from backend.services import fleet

    with market() as wired:
        now = bootstrap.utc_now()
        found = [document(agent, now) for agent in fleet.list_agents(wired.uow())]
    documents = [agent for agent in found if everyone or agent["state"] != AgentState.STOPPED]
    columns = [
        identity("Agent"),
        words("Name"),
        words("State"),
        figures("Pid"),
        figures("Seen"),
        words("Serves"),
    ]
    rows = [
        (a["id"], a["name"], a["state"], a["pid"], f"{a['seen_s']:.1f} s", a["queue"] or _address(a["endpoint"]))
        for a in documents
    ]
    emit(as_json, documents, table(columns, rows))


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
