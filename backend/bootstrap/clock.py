"""The one place that looks at the clock for services."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time; services are handed it and never look themselves."""
    return datetime.now(UTC)
