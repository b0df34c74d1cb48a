"""What is told of tiers: as in the HTTP API, and as tables."""

from collections.abc import Sequence
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from rich.table import Table

from backend.cli.output import figures, record, table, words
from backend.domain.money import format_credits
from backend.domain.percent import format_percent

if TYPE_CHECKING:
    from backend.domain.tiers import TierVersion

Document = dict[str, Any]


def tier(version: "TierVersion", fee_ppm: int | None = None) -> Document:
    """A version of a tier; with the fee of the tier now, if it is given."""
    made = version.tier
    fee = {} if fee_ppm is None else {"fee_ppm": fee_ppm}
    return {
        "tier": made.name,
        "version": version.version,
        "classes": list(made.classes),
        "slots_max": made.slots_max,
        "request_cap": format_credits(made.request_cap_nano),
        "month_cap": format_credits(made.month_cap_nano),
        "latency_ms_p95": made.latency_ms_p95,
        "uptime_ppm": made.uptime_ppm,
        "weight": made.weight,
        "reserved_ppm": made.reserved_ppm,
        "ladder": [{"below_uptime_ppm": below, "credit_ppm": credit} for below, credit in made.ladder],
        "rank": made.rank,
        "valid_from": version.valid_from,
        "created_at": version.created_at,
        **fee,
    }


def tiers(documents: Sequence[Document], title: str | None = None) -> Table:
    """Tiers or their versions as a table; amounts in credits, as far as they are not round; fees if they are told."""
    columns = [words("Tier"), figures("Version"), words("Classes"), figures("Slots"), figures("Request / month")]
    columns += [figures("p95 ms"), figures("Uptime %"), figures("Weight"), figures("Reserved %")]
    columns += [*([figures("Fee %")] if _with_fee(documents) else []), words("From")]
    return table(columns, [_row(document) for document in documents], title)


def one(document: Document) -> Table:
    """A tier with its shares as percentages."""
    return record({**document, "ladder": [_step(step) for step in document["ladder"]]})


def _row(document: Document) -> tuple[object, ...]:
    return (
        document["tier"],
        document["version"],
        document["classes"],
        document["slots_max"],
        f"{_short(document['request_cap'])} / {_short(document['month_cap'])}",
        document["latency_ms_p95"],
        format_percent(document["uptime_ppm"]),
        document["weight"],
        format_percent(document["reserved_ppm"]),
        *([format_percent(document["fee_ppm"])] if _with_fee([document]) else []),
        _start(document["valid_from"]),
    )


def _with_fee(documents: Sequence[Document]) -> bool:
    """Whether fees are told: they are of tiers as they are now, and have versions of their own."""
    return any("fee_ppm" in document for document in documents)


def _start(moment: datetime) -> str:
    """A day; with the time unless it is midnight, since a day may have several versions."""
    return f"{moment:%Y-%m-%d}" if moment.time() == time() else f"{moment:%Y-%m-%d %H:%M}"


def _short(credits: str) -> str:
    return credits.rstrip("0").rstrip(".")


def _step(step: Document) -> str:
    below, credit = format_percent(step["below_uptime_ppm"]), format_percent(step["credit_ppm"])
    return f"below {below}% uptime {credit}% back"
