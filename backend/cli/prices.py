"""Spot prices as they are, and as they were."""

from typing import Annotated

import typer

from backend.cli import market_views, views
from backend.cli.connection import market
from backend.cli.market_views import MarketArgument, parse_market
from backend.cli.moments import FromOption, ToOption, parse_moment
from backend.cli.options import AsJson
from backend.cli.output import console, emit, figures, table, words

PRICES = ("swarmex market prices", "swarmex market prices --json")
HISTORY = (
    "swarmex market history fog/home",
    "swarmex market history --from 2026-10-01 --to 2026-10-02 --limit 1000 --json",
)


def list_prices(as_json: AsJson = False) -> None:
    """List every market: its spot price in credits per slot-second, and the slots of living nodes."""
    from backend import bootstrap
    from backend.services import markets

    with market() as wired:
        documents = [views.price(view) for view in markets.list_prices(wired.uow(), bootstrap.utc_now())]
    columns = [
        words("Class"),
        words("Region"),
        figures("Spot price"),
        figures("Used"),
        figures("Free"),
        figures("Slots"),
        figures("Nodes"),
    ]
    names = ("slots_free", "slots", "nodes")
    rows = [
        (d["resource_class"], d["region"], d["spot_price"], f"{d['utilisation']:.0%}", *(d[name] for name in names))
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))


def list_history(
    place: MarketArgument = None,
    since: FromOption = None,
    before: ToOption = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what spot prices were, the newest first, and what moved them; of one market, with a line of its course."""
    from backend.services import pricing
    from backend.storage.price_points import Stretch

    named = parse_market(place) if place is not None else None
    start, end = parse_moment(since, "from"), parse_moment(before, "to")
    resource_class, region = (named.resource_class, named.region) if named else (None, None)
    stretch = Stretch(resource_class, region, start, end)
    with market() as wired:
        points = pricing.price_history(wired.uow(), stretch, limit)
    documents = [market_views.point(point) for point in points]
    columns = [
        words("At"),
        words("Market"),
        figures("Spot price"),
        figures("Used"),
        figures("Busy"),
        figures("Slots"),
        words("Cause"),
    ]
    rows = [
        (
            d["at"],
            f"{d['resource_class']}/{d['region']}",
            d["spot_price"],
            f"{d['utilisation']:.0%}",
            d["busy_slots"],
            d["slots"],
            d["cause"],
        )
        for d in documents
    ]
    if named and points and not as_json:
        console().print(f"{named}  {market_views.course([p.spot_nano_per_slot_s for p in reversed(points)])}")
    emit(as_json, documents, table(columns, rows))
