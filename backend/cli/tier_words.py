"""Refusals of a tier's settings in the words and units of the options that they were typed in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from backend.domain.errors import SwarmexError
from backend.domain.percent import format_percent

_OPTIONS = {
    "slots_max": "slots",
    "latency_ms_p95": "p95",
    "uptime_ppm": "uptime",
    "reserved_ppm": "reserved",
    "ladder": "credit",
    "valid_from": "from",
}
_FIELD = re.compile(rf"\b({'|'.join(name for name in _OPTIONS if '_' in name)})\b")
_SHARE = re.compile(r"\b(\d{1,18}) ppm\b", re.ASCII)


@contextmanager
def in_typed_words() -> Iterator[None]:
    """Tell a refusal by the name of its option, and shares in percent rather than in parts per million."""
    try:
        yield
    except SwarmexError as error:
        error.message = _typed(error.message)
        error.accepted = error.accepted and _typed(error.accepted)
        error.field = _OPTIONS.get(error.field or "", error.field)
        raise


def _typed(text: str) -> str:
    told = _SHARE.sub(lambda found: f"{format_percent(int(found[1]))}%", text)
    return _FIELD.sub(lambda found: _OPTIONS[found[1]], told)
