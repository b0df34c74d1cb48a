"""What the market keeps of a charge, by tier."""

from typing import Annotated

import typer

from backend.cli import money_views as views
from backend.cli.connection import market, operator
from backend.cli.moments import FromOption, parse_moment
from backend.cli.options import AsJson, NumberLast, examples, group
from backend.cli.output import emit, figures, record, table, words
from backend.domain.fees import parse_percent
from backend.domain.percent import format_percent
from backend.domain.tiers import TierName

verbs = group("What the market keeps of a charge, by tier.")


@verbs.command("list", epilog=examples("swarmex fee list", "swarmex fee list --all --json"))
def list_fees(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    as_json: AsJson = False,
) -> None:
    """List each tier's fee now, and those that are to come."""
    from backend import bootstrap
    from backend.domain.fees import in_force
    from backend.services import fees

    with market() as wired:
        versions = fees.list_fees(wired.uow())
    chosen = versions if everything else in_force(versions, bootstrap.utc_now())
    documents = [views.fee(version) for version in chosen]
    columns = [words("Tier"), figures("Version"), figures("Fee %"), words("From")]
    rows = [(d["tier"], d["version"], format_percent(d["fee_ppm"]), d["valid_from"]) for d in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(
    "set", cls=NumberLast, epilog=examples("swarmex fee set medium 3.5", "swarmex fee set small 6 --from 2027-01-01")
)
def set_fee(
    tier: Annotated[TierName, typer.Argument(help="Whose fee.", show_default=False)],
    percent: Annotated[str, typer.Argument(metavar="PERCENT", help="Of each charge, as in 3.5.")],
    since: FromOption = None,
    as_json: AsJson = False,
) -> None:
    """Set a tier's fee, now or from a time to come; orders that are placed already keep theirs."""
    from backend import bootstrap
    from backend.services import fees

    fee_ppm, start = parse_percent(percent), parse_moment(since, "from")
    with market() as wired:
        made = fees.set_fee(wired.uow(), bootstrap.utc_now(), operator(), tier.value, fee_ppm, start)
    document = views.fee(made)
    emit(as_json, document, record(document))
