"""Machines that providers bring."""

import shlex
from typing import Annotated

import typer

from backend.cli import views
from backend.cli.connection import account_named, market, node_named, operator
from backend.cli.options import AccountOption, AsJson, NodeArgument, examples, group
from backend.cli.output import console, emit, figures, identity, note, print_json, record, table, words
from backend.domain.nodes import NodeSpec
from backend.domain.tiers import ResourceClass

verbs = group("Machines that providers bring.")


@verbs.command(
    epilog=examples(
        "swarmex node register rack-1 --account acme --class cloud --region north --slots 8 --pool core",
        "swarmex node register phone-1 --account acme --class mobile --region south",
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
    as_json: AsJson = False,
) -> None:
    """Bring a machine to the market; it sells nothing before it has an offer and a living agent."""
    from backend import bootstrap
    from backend.services import nodes

    with market() as wired:
        owner = account_named(wired, account)
        spec = NodeSpec(name, resource_class.value, region, slots, pool)
        document = views.node(nodes.register_node(wired.uow(), bootstrap.utc_now(), owner.id, spec))
    emit(as_json, document, record(document))
    if not as_json:
        serves = f"--pool {pool}" if pool else f"--node {document['id']}"
        note(f"Next: `swarmex offer {name} CREDITS`. It is served by `python -m agents inference {serves}`.")


@verbs.command("list", epilog=examples("swarmex node list", "swarmex node list --account acme --json"))
def list_nodes(account: AccountOption = None, as_json: AsJson = False) -> None:
    """List nodes with their free slots and asks, in credits per slot-second."""
    from backend import bootstrap
    from backend.services import nodes

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        documents = [views.node(found) for found in nodes.list_nodes(wired.uow(), bootstrap.utc_now(), owner)]
    columns = [identity("Node"), words("Name"), words("Market"), figures("Free"), words("State"), figures("Ask")]
    rows = [
        (
            d["id"],
            d["name"],
            f"{d['resource_class']}/{d['region']}",
            f"{d['slots'] - d['busy_slots']}/{d['slots']}",
            d["state"] if d["alive"] else f"{d['state']}, no agent",
            d["ask"],
        )
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))


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
