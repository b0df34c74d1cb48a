"""Periods on the command line: a month, or days, of a time zone."""

from datetime import date, datetime
from typing import Annotated

import typer

from backend.domain.errors import Invalid
from backend.domain.periods import Period, period_of

MonthOption = Annotated[
    str | None, typer.Option("--month", metavar="MONTH", help="Which month, as in 2026-10.", show_default=False)
]
FirstOption = Annotated[
    str | None, typer.Option("--from", metavar="DAY", help="From that day on, as in 2026-10-01.", show_default=False)
]
UntilOption = Annotated[
    str | None, typer.Option("--to", metavar="DAY", help="Up to, but without, that day.", show_default=False)
]
TimezoneOption = Annotated[str, typer.Option(metavar="ZONE", help="Whose midnight, as in Europe/Berlin.")]


def asked(now: datetime, timezone: str, month: str | None, first: str | None = None, end: str | None = None) -> Period:
    """The period that was asked for; the running month if none was. Raises Invalid."""
    return period_of(now, timezone, month, _day(first, "from"), _day(end, "to"))


def _day(text: str | None, field: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"{text!r:.40} is no day", code="invalid_day", field=field, accepted="a day, as in 2026-10-01"
        ) from None
