"""How agents and fleet entries are told of, and how they look."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from backend.cli.output import figures, note, record, table, words
from backend.domain.incident_rules import entry_of
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


def note_without_successor(manager: "Manager | None", now: datetime) -> None:
    """Say so where nobody is there to start another agent in the place of one that ends."""
    if not manages(manager, now):
        note("No manager runs, so nobody starts another in its place; `swarmex up` starts one.")


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


def entry_drawn(document: Document) -> Table:
    """An entry for people: its policy a setting a line, in the words that `agents policy --set` takes."""
    policy = document["policy"]
    settings = "\n".join(f"{name}={value}" for name, value in policy.items()) if policy else "fixed"
    return record({**document, "policy": settings})


def entries(specs: "Sequence[FleetSpec]", agents: "Sequence[Activity]", now: datetime) -> list[Document]:
    """All entries, with how many of their agents live."""
    living = Counter(entry_of(one.agent.name) for one in agents if one.lives(now))
    return [{**entry(spec), "living": living[spec.name], "follows_load": spec.policy is not None} for spec in specs]


def entries_drawn(documents: list[Document]) -> Table:
    """The same for people."""
    columns = [Column("Entry", no_wrap=True), words("Kind"), *map(figures, ("Wanted", "Living", "Min", "Max"))]
    columns += [words("Scales itself"), words("Image"), *map(figures, ("Cores", "MiB"))]
    names = ("name", "kind", "replicas", "living", "replicas_min", "replicas_max", "follows_load")
    rows = [[d[name] for name in (*names, "image", "cpu", "memory_mb")] for d in documents]
    return table(columns, rows)


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
    first = entry_drawn(spec) if spec else Text("not of the fleet: it was started by hand")
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
