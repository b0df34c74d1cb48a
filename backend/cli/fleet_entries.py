"""`swarmex agents add`, `set` and `remove`: which entries the fleet has, with what image and which limits."""

from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli import agent_views
from backend.cli.confirmations import Yes, confirm_processes
from backend.cli.connection import market, operator
from backend.cli.options import AsJson, examples
from backend.cli.output import emit, note, record
from backend.domain.errors import Invalid
from backend.domain.fleet import DRAIN_MAX_S, AgentKind
from backend.domain.fleet_changes import new_entry
from backend.domain.incident_rules import entry_of

if TYPE_CHECKING:
    from datetime import datetime

    from backend.bootstrap import Swarmex
    from backend.domain.errors import Invalid
from backend.domain.fleet import FleetSpec

ADD_EXAMPLES = examples(
    "swarmex agents add inference --pool west",
    "swarmex agents add inference --pool west --min 0 --max 4 --cpus 2 --memory-mb 2048",
    "swarmex agents add settlement --name settlement.b --image swarmex:1.1 --json",
)
SET_EXAMPLES = examples(
    "swarmex agents set pool.west --cpus 4 --memory-mb 4096",
    "swarmex agents set pool.west --image swarmex:1.1",
    'swarmex agents set pool.west --image "" --cpus 0   # the usual image, and as much CPU as there is',
)
REMOVE_EXAMPLES = examples("swarmex agents remove pool.west", "swarmex agents remove pool.west --json")

KINDS = ", ".join(kind for kind in AgentKind if kind is not AgentKind.MANAGER)

Image = Annotated[
    str | None,
    typer.Option(metavar="REF", help='The image of its containers; "" is that of SWARMEX_IMAGE.', show_default=False),
]
Cpus = Annotated[
    float | None, typer.Option(metavar="CORES", help="Each may use so much; 0 is no limit.", show_default=False)
]
MemoryMb = Annotated[
    int | None, typer.Option(metavar="MIB", help="Each may use so much; 0 is no limit.", show_default=False)
]


def add(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"What its agents do: {KINDS}.", show_default=False)],
    pool: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose nodes inference agents serve.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call it instead of pool.POOL or KIND.")
    ] = None,
    least: Annotated[int | None, typer.Option("--min", help="As few as that.", show_default=False)] = None,
    most: Annotated[int | None, typer.Option("--max", help="As many as that.", show_default=False)] = None,
    image: Image = None,
    cpus: Cpus = None,
    memory_mb: MemoryMb = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Add an entry to the fleet: the manager starts one agent, or as many as --min, and keeps them alive.

    Between --min and --max inference agents follow their load; `agents scale` and `agents policy` change that.
    """
    from backend import bootstrap
    from backend.services import fleet, managers

    wanted = _kind(kind)
    spec = new_entry(wanted, pool=pool, name=name, least=least, most=most, image=image, cpu=cpus, memory_mb=memory_mb)
    with market() as wired:
        now = bootstrap.utc_now()
        confirm_processes(wired.settings, 0, spec.replicas, yes=yes, as_json=as_json)
        fleet.add_entry(wired.uow(), now, operator(), spec)
        agent_views.note_unmanaged(managers.manager_of(wired.uow()), now)
        _note_unlimited(wired, spec)
        if not as_json and pool is not None and not _nodes_of(wired, spec, now):
            note(f"No node is in that pool yet: `swarmex node register NAME … --pool {pool}` brings one.")
    document = agent_views.entry(spec)
    emit(as_json, document, agent_views.entry_drawn(document))


def set_entry(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A fleet entry, as in pool.edge.", show_default=False)],
    image: Image = None,
    cpus: Cpus = None,
    memory_mb: MemoryMb = None,
    as_json: AsJson = False,
) -> None:
    """Give an entry's agents another image or other limits; what is not said stays as it is.

    They are replaced one after another: each finishes what it holds, and the next goes when its successor is up.
    """
    from backend import bootstrap
    from backend.services import fleet, managers

    with market() as wired:
        now = bootstrap.utc_now()
        spec = fleet.set_entry(wired.uow(), now, operator(), name, image=image, cpu=cpus, memory_mb=memory_mb)
        agent_views.note_unmanaged(managers.manager_of(wired.uow()), now)
        _note_unlimited(wired, spec)
    document = agent_views.entry(spec)
    emit(as_json, document, agent_views.entry_drawn(document))


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A fleet entry, as in pool.edge.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Remove an entry from the fleet: its agents finish what they hold, and end.

    The last entry of a kind that every market needs is kept.
    """
    from backend import bootstrap
    from backend.services import activity, fleet, managers

    with market() as wired:
        now = bootstrap.utc_now()
        spec = fleet.remove_entry(wired.uow(), now, operator(), name)
        agent_views.note_unmanaged(managers.manager_of(wired.uow()), now)
        agents = [one for one in activity.look(wired.uow(), now) if entry_of(one.agent.name) == name]
        leaving = [one.agent.name for one in agents if one.lives(now)]
        unserved = _nodes_of(wired, spec, now) if _is_unserved(wired, spec) else []
    document = {"name": name, "kind": str(spec.kind), "leaving": leaving, "nodes_without_agents": unserved}
    emit(as_json, document, record(document))
    if leaving and not as_json:
        note(f"They take {DRAIN_MAX_S:.0f} s at most to finish; `swarmex agents list` shows who is left.")
    if unserved and not as_json:
        note("Nodes without agents get no work; drain them, or add an entry for their pool again.")


def _kind(text: str) -> AgentKind:
    """The kind of that name; raises Invalid. That a manager runs no managers is said by the entry's own check."""
    if text not in list(AgentKind):
        raise Invalid(f"no agent is of kind {text[:60]!r}", code="invalid_kind", field="kind", accepted=KINDS)
    return AgentKind(text)


def _note_unlimited(wired: "Swarmex", spec: "FleetSpec") -> None:
    """Say so where an image or limits have no effect."""
    if wired.settings.runtime == "process" and (spec.image or spec.resources):
        note("Agents run as processes here: image and limits take effect with SWARMEX_RUNTIME=docker or swarm.")


def _nodes_of(wired: "Swarmex", spec: "FleetSpec", now: "datetime") -> list[str]:
    """Names of the nodes that an entry's agents serve."""
    from backend.services import nodes
    from backend.services.scaling import queue_of

    queue = queue_of(spec)
    return [node.name for node in nodes.list_nodes(wired.uow(), now, None) if node.queue == queue]


def _is_unserved(wired: "Swarmex", spec: "FleetSpec") -> bool:
    """Whether no entry is left that serves what this one did."""
    from backend.services import fleet
    from backend.services.scaling import queue_of

    return all(queue_of(other) != queue_of(spec) for other in fleet.desired(wired.uow()))
