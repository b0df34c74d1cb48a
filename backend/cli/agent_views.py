"""How agents and fleet entries are told of, and how they look."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from backend.cli.output import figures, note, record, table, words
from backend.domain.work import AGENT_LOST_S

if TYPE_CHECKING:
    from backend.domain.fleet import FleetSpec
    from backend.services.activity import Activity, Shown
    from backend.storage.fleet import Manager

Document = dict[str, Any]
DONE = "done"  # the verdict on one that ended as it should


def manages(manager: "Manager | None", now: datetime) -> bool:
    """Whether a manager is there to act."""
    return manager is not None and (now - manager.beat_at).total_seconds() <= AGENT_LOST_S


def note_unmanaged(manager: "Manager | None", now: datetime) -> None:
    """Say so where nobody is there to act on a changed wish."""
    if not manages(manager, now):
        note("No manager runs, so nothing acts on it yet; `swarmex up` starts one.")


def entry(spec: "FleetSpec") -> Document:
    """A fleet entry."""
    resources = spec.resources
    return {
        "name": spec.name,
        "kind": str(spec.kind),
        "arguments": list(spec.arguments),
        "replicas": spec.replicas,
        "replicas_min": spec.replicas_min,
        "replicas_max": spec.replicas_max,
        "image": spec.image,
        "cpu": resources and resources.cpu,
        "memory_mb": resources and resources.memory_mb,
        "policy": spec.policy and spec.policy.wire(),
    }


def agent(one: "Activity", now: datetime) -> Document:
    """An agent with its load and how well it is."""
    seen = one.agent
    return {
        "id": seen.id,
        "name": seen.name,
        "kind": str(seen.kind),
        "state": str(seen.state),
        "verdict": str(one.diagnosis.verdict) if one.diagnosis else DONE,
        "reason": (one.diagnosis and one.diagnosis.reason) or None,
        "host": seen.host,
        "pid": seen.pid,
        "queue": seen.queue,
        "started_at": seen.started_at,
        "seen_s": round(max(0.0, (now - seen.beat_at).total_seconds()), 3),
        "work_done": seen.work_done,
        "in_flight": one.load.held,
        "queued": one.load.waiting,
    }


def shown(found: "Shown", now: datetime) -> Document:
    """An entry or an agent with all that explains it."""
    decisions = [
        {
            "at": decision.at,
            "before": decision.replicas_before,
            "after": decision.replicas_after,
            "cause": decision.cause,
            "reason": decision.reason,
        }
        for decision in found.decisions
    ]
    return {
        "entry": entry(found.entry) if found.entry else None,
        "managed": manages(found.manager, now),
        "agents": [agent(one, now) for one in found.agents],
        "decisions": decisions,
    }


def drawn(document: Document) -> RenderableType:
    """The same for people."""
    spec = document["entry"]
    first = record(spec) if spec else Text("not of the fleet: it was started by hand")
    columns = [
        *map(words, ("Agent", "State", "Health", "Why")),
        *map(figures, ("Pid", "Seen", "Done", "In flight", "Queued")),
    ]
    names = ("name", "state", "verdict", "reason", "pid", "seen_s", "work_done", "in_flight", "queued")
    told = [{**one, "seen_s": f"{one['seen_s']:.1f} s"} for one in document["agents"]]
    agents = table(columns, [[one[name] for name in names] for one in told], "\nAgents")
    columns = [words("At"), *map(figures, ("Before", "After")), *map(words, ("Cause", "Why"))]
    rows = [list(decision.values()) for decision in document["decisions"]]
    return Group(first, agents, table(columns, rows, "\nWhy so many"))
