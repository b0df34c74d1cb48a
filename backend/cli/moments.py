"""Times on the command line: dates or times of ISO 8601, in UTC unless they say otherwise."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from backend.domain.errors import Invalid

FromOption = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="From then on, as in 2026-10-01.", show_default=False)
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before then.", show_default=False)]


def parse_moment(text: str | None, field: str) -> datetime | None:
    """The moment that `text` names, in UTC; raises Invalid(`invalid_time`)."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"{text[:40]!r} is no time",
            code="invalid_time",
            field=field,
            accepted="a date or time, as in 2026-10-01 or 2026-10-01T12:00:00+02:00; UTC unless it says otherwise",
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
