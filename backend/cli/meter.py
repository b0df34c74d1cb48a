"""Meters: what other systems may report the use of, and its price over time."""

from typing import Annotated

import typer

from backend.cli import metering_views as views
from backend.cli.connection import account_named, market, operator
from backend.cli.moments import FromOption, parse_moment
from backend.cli.options import AsJson, examples, group
from backend.cli.output import console, emit, figures, identity, note, print_json, record, table, words
from backend.domain.money import parse_credits

verbs = group("Meters: usage that other systems report, and its price.")

MeterArgument = Annotated[str, typer.Argument(metavar="METER", help="Name of a meter.", show_default=False)]
LEFT_SHOWN_MAX = 20
PRICE_HELP = "Credits a unit, as in 0.002; 0 is free."


@verbs.command(
    epilog=examples(
        "swarmex meter add storage.gb_hours --unit 'GB hours' --price 0.00002",
        "swarmex meter add tokens.thousand --unit '1,000 tokens' --price 0.001 --provider rack-owner",
    )
)
def add(
    name: Annotated[str, typer.Argument(metavar="METER", help="The `type` of the events that report it.")],
    unit: Annotated[str, typer.Option(help="What is counted, in words.")],
    price: Annotated[str, typer.Option(metavar="CREDITS", help=PRICE_HELP)],
    provider: Annotated[
        str | None,
        typer.Option(metavar="ACCOUNT", help="Who earns; the market itself, unless given.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count something from now on; its first price holds for late events too, however old they are."""
    from backend import bootstrap
    from backend.services import meters

    nano = parse_credits(price, "price", zero=True)
    with market() as wired:
        earner = account_named(wired, provider).id if provider else None
        made = meters.add_meter(wired.uow(), bootstrap.utc_now(), operator(), name, unit, nano, earner)
    document = views.meter(made)
    emit(as_json, document, record(document))


@verbs.command("list", epilog=examples("swarmex meter list", "swarmex meter list --json"))
def list_meters(as_json: AsJson = False) -> None:
    """List every meter and its price now."""
    from backend import bootstrap
    from backend.services import meters

    with market() as wired:
        documents = [views.meter(view) for view in meters.list_meters(wired.uow(), bootstrap.utc_now())]
    columns = [words("Meter"), words("Unit"), figures("Price"), figures("Version"), identity("Provider")]
    rows = [(d["name"], d["unit"], d["price"], d["version"], d["provider"]) for d in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex meter prices storage.gb_hours"))
def prices(name: MeterArgument, as_json: AsJson = False) -> None:
    """List every version of a meter's price; of those that begin at once, the later version counts."""
    from backend.services import meters

    with market() as wired:
        documents = [views.price(version) for version in meters.list_prices(wired.uow(), name)]
    columns = [figures("Version"), figures("Price"), words("From"), words("Set")]
    rows = [(d["version"], d["price"], d["valid_from"], d["created_at"]) for d in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(
    "price",
    epilog=examples(
        "swarmex meter price storage.gb_hours 0.00003",
        "swarmex meter price storage.gb_hours 0.00001 --from 2026-10-01",
    ),
)
def set_price(
    name: MeterArgument,
    price: Annotated[str, typer.Argument(metavar="CREDITS", help=PRICE_HELP)],
    since: FromOption = None,
    as_json: AsJson = False,
) -> None:
    """Set a price, now or from another time on; usage since then is corrected by reversals and new charges."""
    from backend import bootstrap
    from backend.services import meters, rating

    nano, start = parse_credits(price, "price", zero=True), parse_moment(since, "from")
    with market() as wired:
        made, done = meters.set_price(wired.uow(), bootstrap.utc_now(), operator(), name, nano, start)
        done = rating.rerate_all(wired.uow(), bootstrap.utc_now(), operator(), name, done)
    document = {"price": views.price(made), "rerated": views.rerated(done)}
    _told(as_json, document, document["rerated"])


@verbs.command(epilog=examples("swarmex meter rerate storage.gb_hours"))
def rerate(name: MeterArgument, since: FromOption = None, as_json: AsJson = False) -> None:
    """Try again what a price could not correct for want of money; a second time changes nothing."""
    from backend import bootstrap
    from backend.services import rating

    start = parse_moment(since, "from")
    with market() as wired:
        done = rating.rerate(wired.uow(), bootstrap.utc_now(), operator(), name, start)
        done = rating.rerate_all(wired.uow(), bootstrap.utc_now(), operator(), name, done)
    document = views.rerated(done)
    _told(as_json, document, document)


def _told(as_json: bool, document: views.Document, done: views.Document) -> None:
    if as_json:
        print_json(document)
        return
    if "price" in document:
        console().print(record(document["price"]), "", sep="\n")
    console().print(f"{done['corrected']} events corrected, {done['left_count']} left as they were")
    if done["left"]:
        rows = [tuple(left.values()) for left in done["left"][:LEFT_SHOWN_MAX]]
        title = f"The first {len(rows)} of them" if done["left_count"] > len(rows) else None
        console().print("", table([identity("Usage"), words("Why")], rows, title), sep="\n")
        note("`swarmex meter rerate METER` tries them again, once there is money")
