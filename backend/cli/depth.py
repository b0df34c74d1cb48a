"""What is open on the markets: depth in bands, and the whole book for who sits at the machine."""

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from backend.cli import market_views as views
from backend.cli.connection import market, operator
from backend.cli.market_views import Document, MarketArgument, parse_market
from backend.cli.options import AsJson
from backend.cli.output import emit, figures, identity, note, table, words
from backend.domain.depth import PARTIES_MIN

DEPTH = ("swarmex market depth", "swarmex market depth fog/home --json")
BOOK = ("swarmex market book", "swarmex market book fog/home --limit 100 --json")


def list_depth(place: MarketArgument = None, as_json: AsJson = False) -> None:
    """List free slots and waiting demand of every market, or of one, in bands around its spot price."""
    from backend import bootstrap
    from backend.services import depth

    named = parse_market(place) if place is not None else None
    with market() as wired:
        found = depth.market_depth(wired.uow(), bootstrap.utc_now(), named)
    documents = [views.depth(one) for one in found]
    columns = [
        words("Market"),
        figures("Spot price"),
        words("Side"),
        words("Price"),
        figures("Slots"),
    ]
    rows = [
        (f"{d['resource_class']}/{d['region']}", d["spot_price"], side, _range(band), _slots(band))
        for d in documents
        if not _hidden(d)
        for side in ("free", "waiting")
        for band in d[side]
    ]
    few = [_told(d) for d in documents if _hidden(d)]
    parts: list[RenderableType] = [table(columns, rows)] if rows or not few else []
    if few:
        why = f"What fewer than {PARTIES_MIN} accounts ask or bid is sealed; `swarmex market book` shows it to admins."
        parts += [*([""] if rows else []), *few, why]
    emit(as_json, documents, Group(*parts))


def show_book(
    place: MarketArgument = None,
    limit: Annotated[int, typer.Option(help="How many orders, and how many offers, at most.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """Show every open order with its limit and every open offer with its ask: sealed to all but admins."""
    from backend import bootstrap
    from backend.services import depth

    named = parse_market(place) if place is not None else None
    resource_class, region = (named.resource_class, named.region) if named else (None, None)
    with market() as wired:
        book = depth.market_book(wired.uow(), bootstrap.utc_now(), operator(), resource_class, region, limit)
    orders, offers = [views.open_order(o) for o in book.orders], [views.open_offer(o) for o in book.offers]
    document = {"orders": orders, "offers": offers, "complete": book.complete}
    if not book.complete and not as_json:
        note(f"Only the best {limit} of each side are shown: name a market, or raise --limit.")
    emit(as_json, document, Group(_orders(orders), _offers(offers)))


def _orders(documents: list[Document]) -> Table:
    columns = [words("Market"), identity("Order"), words("Tier"), figures("Slots"), figures("Limit"), words("Placed")]
    rows = [
        (f"{d['resource_class']}/{d['region']}", d["order"], d["tier"], d["slots"], d["limit"], d["placed_at"])
        for d in documents
    ]
    return table(columns, rows, "Open orders")


def _offers(documents: list[Document]) -> Table:
    columns = [words("Market"), words("Node"), figures("Version"), figures("Free"), figures("Ask"), words("Offered")]
    rows = [
        (
            f"{d['resource_class']}/{d['region']}",
            d["node_name"],
            d["version"],
            d["slots_free"],
            d["ask"],
            d["offered_at"],
        )
        for d in documents
    ]
    return table(columns, rows, "Open offers")


def _hidden(document: Document) -> bool:
    """Whether all that anybody quotes in a market is sealed, so that bands would tell nothing."""
    quoted = [band for side in ("free", "waiting") for band in document[side] if band["slots"] != 0]
    return bool(quoted) and all(band["fewer_than_3"] for band in quoted)


def _told(document: Document) -> str:
    """A market of which only that is told."""
    waiting = "some wait" if any(band["fewer_than_3"] for band in document["waiting"]) else "nobody waits"
    market, spot = f"{document['resource_class']}/{document['region']}", document["spot_price"]
    return f"{market} at {spot}: {document['slots_free']} slots free, {waiting}; of fewer than {PARTIES_MIN} accounts."


def _range(band: Document) -> str:
    if band["above"] is None and band["up_to"] is None:
        return "any"
    if band["up_to"] is None:
        return f"> {band['above']:g} × spot"
    low = "" if band["above"] is None else f"> {band['above']:g}, "
    return f"{low}≤ {band['up_to']:g} × spot"


def _slots(band: Document) -> object:
    return f"of fewer than {PARTIES_MIN} accounts" if band["fewer_than_3"] else band["slots"]
