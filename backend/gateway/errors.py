"""Refusals that only the HTTP faces know: a body that is not JSON, a queue that is full, a node that failed."""

from backend.domain.errors import Invalid, SwarmexError, Unavailable


class InvalidJson(Invalid):
    """The body cannot be read as JSON at all."""

    code = "invalid_json"


class Busy(Unavailable):
    """A bounded queue of the caller's own is full; others are not affected."""

    code = "too_many_in_flight"


def code_of(error: Exception) -> str:
    """What a log line calls an error: its stable code, or its class where it has none."""
    return error.code if isinstance(error, SwarmexError) else type(error).__name__
