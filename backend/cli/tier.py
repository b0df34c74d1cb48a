"""The tiers: what each size of customer may use, and what it is promised."""

from typing import Annotated

import typer

from backend.cli import tier_views as views
from backend.cli.connection import market, operator
from backend.cli.moments import FromOption, parse_moment
from backend.cli.options import AsJson, examples, group
from backend.cli.output import console, emit, print_json
from backend.cli.tier_words import in_typed_words
from backend.domain.errors import Invalid, shown
from backend.domain.money import parse_credits
from backend.domain.tier_changes import TierChanges, parse_share
from backend.domain.tiers import Ladder, TierName

verbs = group("The tiers: what each size of customer may use, and what it is promised.")

NameArgument = Annotated[TierName, typer.Argument(metavar="TIER", help="Which of the four.", show_default=False)]


def _setting(metavar: str, help_text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar=metavar, help=help_text, show_default=False)
    return option


@verbs.command("list", epilog=examples("swarmex tier list", "swarmex tier list --json"))
def list_tiers(as_json: AsJson = False) -> None:
    """List the tiers as they are now, each with its fee; amounts in credits."""
    from backend import bootstrap
    from backend.services import tiers

    with market() as wired:
        documents = [views.tier(*found) for found in tiers.list_with_fees(wired.uow(), bootstrap.utc_now())]
    emit(as_json, documents, views.tiers(documents))


@verbs.command("show", epilog=examples("swarmex tier show small", "swarmex tier show enterprise --json"))
def show_tier(tier: NameArgument, as_json: AsJson = False) -> None:
    """Show a tier as it is now, with its fee, and every version that there was, is and will be."""
    from backend import bootstrap
    from backend.services import tiers

    with market() as wired:
        versions = tiers.list_versions(wired.uow(), tier.value)
        current = tiers.list_with_fees(wired.uow(), bootstrap.utc_now())
    [now] = [views.tier(version, fee_ppm) for version, fee_ppm in current if version.tier.name is tier]
    documents = [views.tier(version) for version in versions]
    if as_json:
        print_json({"now": now, "versions": documents})
    else:
        console().print(views.one(now))
        console().print(views.tiers(documents, "\nVersions"))


@verbs.command(
    "set",
    epilog=examples(
        "swarmex tier set small --slots 8 --request-cap 10",
        "swarmex tier set small --month-cap 150",
        "swarmex tier set medium --classes fog,cloud --reserved 15 --from 2027-01-01",
        "swarmex tier set large --uptime 99.95 --credit 99.95=10 --credit 99=30 --credit 95=100",
    ),
)
def set_tier(
    tier: NameArgument,
    classes: Annotated[str | None, _setting("LIST", "Resource classes, the preferred one first.")] = None,
    slots: Annotated[int | None, _setting("N", "Slots of an order at most.")] = None,
    request_cap: Annotated[str | None, _setting("CREDITS", "The worst case of an order at most.")] = None,
    month_cap: Annotated[str | None, _setting("CREDITS", "Of each account, from now on.")] = None,
    p95: Annotated[int | None, _setting("MS", "The latency target.")] = None,
    uptime: Annotated[str | None, _setting("PERCENT", "The uptime target.")] = None,
    weight: Annotated[int | None, _setting("N", "Against other tiers under contention.")] = None,
    reserved: Annotated[str | None, _setting("PERCENT", "Of each market's slots.")] = None,
    credit: Annotated[
        list[str] | None, _setting("UPTIME=CREDIT", "Below this uptime so much back, in percent; or none.")
    ] = None,
    since: FromOption = None,
    as_json: AsJson = False,
) -> None:
    """Change a tier, now or from a time to come; what is not named stays, and so do orders that are placed already."""
    from backend import bootstrap
    from backend.services import tiers

    changes = TierChanges(
        classes=None if classes is None else tuple(name.strip() for name in classes.split(",")),
        slots_max=slots,
        request_cap_nano=None if request_cap is None else parse_credits(request_cap, "request_cap"),
        month_cap_nano=None if month_cap is None else parse_credits(month_cap, "month_cap"),
        latency_ms_p95=p95,
        uptime_ppm=None if uptime is None else parse_share(uptime, "uptime"),
        weight=weight,
        reserved_ppm=None if reserved is None else parse_share(reserved, "reserved"),
        ladder=_ladder(credit),
    )
    start = parse_moment(since, "from")
    with market() as wired, in_typed_words():
        made = tiers.set_tier(wired.uow(), bootstrap.utc_now(), operator(), tier.value, changes, start)
    document = views.tier(made)
    emit(as_json, document, views.one(document))


def _ladder(steps: list[str] | None) -> Ladder | None:
    if not steps:
        return None
    if steps == ["none"]:
        return ()
    ladder = []
    for step in steps:
        below, equals, credit = step.partition("=")
        if not equals:
            raise Invalid(
                f"{shown(step)} is no step",
                code="invalid_credit",
                field="credit",
                accepted="an uptime and a credit in percent, as in 99.9=10; or none",
            )
        ladder.append((parse_share(below, "credit"), parse_share(credit, "credit")))
    return tuple(ladder)
