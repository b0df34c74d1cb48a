"""What a provider asks for a node's slots."""

from typing import Annotated

import typer

from backend.cli import views
from backend.cli.connection import market, node_named, operator
from backend.cli.options import AccountOption, AsJson, NodeArgument, examples
from backend.cli.output import emit, record
from backend.domain.money import parse_credits

EXAMPLES = examples("swarmex offer rack-1 0.002", "swarmex offer rack-1 0.0015 --account acme")


def offer(
    node: NodeArgument,
    ask: Annotated[str, typer.Argument(metavar="CREDITS", help="Credits per slot-second, at least.")],
    account: AccountOption = None,
    as_json: AsJson = False,
) -> None:
    """Offer a node's slots from a price up.

    It replaces the node's open offer, and ends a drain.
    """
    from backend import bootstrap
    from backend.services import nodes

    nano = parse_credits(ask, "ask")
    with market() as wired:
        found = node_named(wired, node, account)
        document = views.offer(nodes.offer(wired.uow(), bootstrap.utc_now(), found.id, nano, operator()))
    emit(as_json, document, record(document))
