"""Machines that providers bring."""

import shlex
from typing import Annotated, Any

import typer

from backend.cli import external, join, sealing_key, views
from backend.cli.connection import account_named, market, node_named, operator
from backend.cli.machine_options import Accelerators, GpuMemoryMb, GpuModel, LatencyMs, MemoryMb, Residency
from backend.cli.options import AccountOption, AsJson, NodeArgument, examples, group
from backend.cli.output import console, emit, figures, identity, note, print_json, record, table, words
from backend.domain.money import PPM
from backend.domain.nodes import NodeSpec
from backend.domain.tiers import ResourceClass

verbs = group("Machines that providers bring.")
verbs.add_typer(join.tokens, name="token")
verbs.add_typer(join.keys, name="key")
verbs.add_typer(sealing_key.verbs, name="sealing-key")
verbs.add_typer(external.verbs, name="external")
verbs.command("join", epilog=join.JOIN_EXAMPLES)(join.join)


@verbs.command(
    epilog=examples(
        "swarmex node register rack-1 --account acme --class cloud --region north --slots 8 --pool core",
        "swarmex node register phone-1 --account acme --class mobile --region south",
        "swarmex node register gpu-1 --account acme --class cloud --region eu-1 --cores 32 --memory-mb 131072"
        " --accelerators 2 --gpu-model a100 --gpu-memory-mb 81920 --residency de --latency-ms 5",
    )
)
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that the account's nodes do not have yet.")],
    account: Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Whose node it is: name or id.")],
    resource_class: Annotated[ResourceClass, typer.Option("--class", help="What kind of machine it is.")],
    region: Annotated[str, typer.Option(help="Where it is, as in north or eu-1.")],
    slots: Annotated[int, typer.Option(help="How many items it runs at once.")] = 1,
    pool: Annotated[
        str | None, typer.Option(help="An agent that serves many nodes; without it the node needs an agent of its own.")
    ] = None,
    cores: Annotated[int, typer.Option(help="Processor cores.")] = 1,
    memory_mb: MemoryMb = 1_024,
    gpu_model: GpuModel = None,
    gpu_memory_mb: GpuMemoryMb = 0,
    accelerators: Accelerators = 0,
    residency: Residency = None,
    latency_ms: LatencyMs = 0,
    as_json: AsJson = False,
) -> None:
    """Bring a machine to the market; it sells nothing before it has an offer and a living agent."""
    from backend import bootstrap
    from backend.services import nodes

    with market() as wired:
        owner = account_named(wired, account)
        spec = NodeSpec(
            name=name,
            resource_class=resource_class.value,
            region=region,
            slots=slots,
            pool=pool,
            cores=cores,
            memory_mb=memory_mb,
            gpu_model=gpu_model,
            gpu_memory_mb=gpu_memory_mb,
            accelerators=accelerators,
            residency=residency,
            latency_ms=latency_ms,
        )
        document = views.node(nodes.register_node(wired.uow(), bootstrap.utc_now(), owner.id, spec))
    emit(as_json, document, record(document))
    if not as_json:
        if pool:
            served = f"the fleet's agents of its pool: without any, `swarmex agents add inference --pool {pool}`"
        else:
            served = f"`python -m agents inference --node {document['id']}`"
        note(f"Next: `swarmex offer {name} CREDITS`. It is served by {served}.")


@verbs.command("list", epilog=examples("swarmex node list", "swarmex node list --account acme --json"))
def list_nodes(account: AccountOption = None, as_json: AsJson = False) -> None:
    """List nodes with what they have, their free slots, and their asks in credits per slot-second."""
    from backend import bootstrap
    from backend.services import nodes

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        documents = [views.node(found) for found in nodes.list_nodes(wired.uow(), bootstrap.utc_now(), owner)]
    columns = [
        *(identity("Node"), words("Name"), words("Market"), words("Machine"), figures("Trust")),
        *(figures("Free"), words("State"), figures("Ask")),
    ]
    rows = [
        (
            d["id"],
            d["name"],
            f"{d['resource_class']}/{d['region']}",
            _machine(d),
            f"{d['trust_ppm'] / PPM:.0%}",
            f"{d['slots'] - d['busy_slots']}/{d['slots']}",
            d["state"] if d["alive"] else f"{d['state']}, no agent",
            d["ask"],
        )
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))


def _machine(node: dict[str, Any]) -> str:
    """As in `32 cores, 128 GiB, 2 × a100 80 GiB, de, 5 ms`; what was not stated is left out."""
    parts = [f"{node['cores']} core{'s' * (node['cores'] > 1)}", _size(node["memory_mb"])]
    if node["accelerators"]:
        memory = f" {_size(node['gpu_memory_mb'])}" if node["gpu_memory_mb"] else ""
        parts.append(f"{node['accelerators']} × {node['gpu_model'] or 'accelerator'}{memory}")
    if node["residency"]:
        parts.append(node["residency"])
    if node["latency_ms"]:
        parts.append(f"{node['latency_ms']} ms")
    return ", ".join(parts)


def _size(mib: int) -> str:
    return f"{mib / 1_024:.4g} GiB" if mib >= 1_024 else f"{mib} MiB"


@verbs.command(epilog=examples("swarmex node show rack-1", "swarmex node show rack-1 --account acme --json"))
def show(node: NodeArgument, account: AccountOption = None, as_json: AsJson = False) -> None:
    """Show a node: where it is, what it has, and what may be counted on."""
    with market() as wired:
        document = views.node(node_named(wired, node, account))
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex node drain rack-1", "swarmex offer rack-1 0.002   # back on the market"))
def drain(node: NodeArgument, account: AccountOption = None, as_json: AsJson = False) -> None:
    """Let a node finish its leases and take no new ones; its offer is withdrawn."""
    from backend import bootstrap
    from backend.services import nodes

    with market() as wired:
        found = node_named(wired, node, account)
        document = views.node(nodes.drain_node(wired.uow(), bootstrap.utc_now(), found.id, operator()))
    emit(as_json, document, record(document))


@verbs.command(epilog=examples('eval "$(swarmex node login)" && python -m agents inference --pool fog-a'))
def login(as_json: AsJson = False) -> None:
    """Print the settings of an inference agent that is started by hand; they contain passwords."""
    with market() as wired:
        settings = {
            "SWARMEX_NODE_DATABASE_URL": wired.node_database_url(),
            "SWARMEX_REDIS_URL": wired.redis_url,
            "SWARMEX_OBJECTS_URL": wired.settings.objects,
            "SWARMEX_MODEL_CACHE": str(wired.settings.cache),
            "SWARMEX_BUS_NAMESPACE": wired.settings.bus_namespace,
        }
    if as_json:
        print_json(settings)
        return
    for name, value in settings.items():
        console().print(f"export {name}={shlex.quote(value)}", soft_wrap=True)
