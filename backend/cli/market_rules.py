"""The rules that markets follow: their auction, and what their spot price is held to."""

from typing import Annotated

import typer

from backend.cli import market_views as views
from backend.cli.connection import market, operator
from backend.cli.market_views import parse_market
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, note, record, table, words
from backend.domain.errors import Invalid, shown
from backend.domain.market_rules import TARGET_PPM_MAX, TARGET_PPM_MIN
from backend.domain.money import parse_credits
from backend.domain.percent import PPM_PER_PERCENT, format_percent
from backend.domain.tier_changes import parse_share

verbs = group("The rules of markets: their auction, floor, cap and the utilisation that their price seeks.")
NamedMarket = Annotated[
    str,
    typer.Argument(
        metavar="CLASS/REGION", help="A market by its class and region, as in fog/home.", show_default=False
    ),
]


@verbs.command("list", epilog=examples("swarmex market rules list", "swarmex market rules list --json"))
def list_rules(as_json: AsJson = False) -> None:
    """List the rules of every market; those that nobody set are the defaults."""
    from backend.services import market_rules

    with market() as wired:
        documents = [views.rule(rule) for rule in market_rules.list_rules(wired.uow())]
    columns = [
        words("Market"),
        words("Mechanism"),
        figures("Floor"),
        figures("Cap"),
        figures("Target"),
        words("Set"),
    ]
    rows = [
        (
            f"{d['resource_class']}/{d['region']}",
            d["mechanism"],
            d["floor"],
            d["cap"],
            f"{format_percent(d['target_ppm'])}%",
            d["own"],
        )
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))


@verbs.command(
    "set",
    epilog=examples(
        "swarmex market rules set fog/home --mechanism mcafee",
        "swarmex market rules set cloud/eu-1 --floor 0.001 --cap 2 --target 80 --json",
    ),
)
def set_rule(
    place: NamedMarket,
    mechanism: Annotated[str | None, typer.Option(help="Its auction: uniform or mcafee.", show_default=False)] = None,
    floor: Annotated[
        str | None, typer.Option(metavar="CREDITS", help="Lowest spot price per slot-second.", show_default=False)
    ] = None,
    cap: Annotated[
        str | None, typer.Option(metavar="CREDITS", help="Highest spot price per slot-second.", show_default=False)
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Share of slots to be in use.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change a market's rules from its next epoch on; what is not named stays as it is."""
    from backend import bootstrap
    from backend.domain.market_rules import RuleChange
    from backend.services import market_rules, markets

    named = parse_market(place)
    change = RuleChange(
        mechanism,
        None if floor is None else parse_credits(floor, "floor"),
        None if cap is None else parse_credits(cap, "cap"),
        None if target is None else _target(target),
    )
    with market() as wired:
        resource_class, region = named.resource_class, named.region
        made = market_rules.set_rule(wired.uow(), bootstrap.utc_now(), operator(), resource_class, region, change)
        known = markets.known_markets(wired.uow())
    document = views.rule(made)
    emit(as_json, document, record(_told(document)))
    if named not in known and not as_json:
        note(f"No node is in {named} yet: its rules wait for one. `swarmex market rules reset {named}` undoes this.")


@verbs.command(
    "reset", epilog=examples("swarmex market rules reset fog/home", "swarmex market rules reset cloud/eu-1 --json")
)
def reset_rule(place: NamedMarket, as_json: AsJson = False) -> None:
    """Give a market the default rules again, from its next epoch on."""
    from backend import bootstrap
    from backend.services import market_rules

    named = parse_market(place)
    with market() as wired:
        resource_class, region = named.resource_class, named.region
        made = market_rules.reset_rule(wired.uow(), bootstrap.utc_now(), operator(), resource_class, region)
    document = views.rule(made)
    emit(as_json, document, record(_told(document)))


def _target(text: str) -> int:
    """A target in parts per million, refused in the unit that it is typed in."""
    ppm = parse_share(text, "target")
    if not TARGET_PPM_MIN <= ppm <= TARGET_PPM_MAX:
        raise Invalid(
            f"target {shown(text)} is out of range",
            code="invalid_target",
            field="target",
            accepted=f"{TARGET_PPM_MIN // PPM_PER_PERCENT} to {TARGET_PPM_MAX // PPM_PER_PERCENT} percent",
        )
    return ppm


def _told(document: views.Document) -> views.Document:
    """A market's rules as people read them: named and in the units of the options."""
    return {
        "market": f"{document['resource_class']}/{document['region']}",
        "mechanism": document["mechanism"],
        "floor": document["floor"],
        "cap": document["cap"],
        "target_ppm": document["target_ppm"],
    }
