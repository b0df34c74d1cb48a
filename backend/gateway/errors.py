"""Refusals that only the HTTP faces know: a body that is not JSON, a queue that is full, a node that failed."""

from math import ceil

from backend.domain.errors import Invalid, SwarmexError, Unavailable


class InvalidJson(Invalid):
    """The body cannot be read as JSON at all."""

    code = "invalid_json"


class Busy(Unavailable):
    """A bounded queue of the caller's own is full; others are not affected."""

    code = "too_many_in_flight"


class RateLimited(Busy):
    """More than a limit allows; `field` is the limit, and `retry_s` when it has room again."""

    code = "rate_limited"

    def __init__(self, field: str, limit: int, retry_s: float) -> None:
        super().__init__("too many requests", field=field, accepted=f"at most {limit}")
        self.retry_after_s = max(1, ceil(retry_s))


def code_of(error: Exception) -> str:
    """What a log line calls an error: its stable code, or its class where it has none."""
    return error.code if isinstance(error, SwarmexError) else type(error).__name__
