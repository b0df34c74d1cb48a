"""Moments for services, which never look at a clock themselves."""

from datetime import datetime, timedelta

from backend.bootstrap import utc_now


def in_seconds(seconds: float) -> datetime:
    """So many seconds from now."""
    return utc_now() + timedelta(seconds=seconds)
