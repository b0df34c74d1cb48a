"""CloudEvents 1.0 that report usage: JSON documents in, facts that can be billed out. Nothing is looked up here.

https://github.com/cloudevents/spec: `specversion`, `id`, `source` and `type` are required of every event; we also ask
for `subject`, the account, and for `data.quantity`, in JSON. Whatever else an event says is its sender's own and not
read.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from backend.domain.errors import Invalid, SwarmexError, shown
from backend.domain.metering import MICRO

SPEC_VERSION = "1.0"
EVENTS_MAX = 1_000  # of one request
TEXT_CHARS_MAX = 256
SKEW_MAX = timedelta(minutes=5)  # a sender's clock may be that fast
AGE_MAX = timedelta(days=400)  # a year of bills, and a month to find out
QUANTITY_MAX = 10**12

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)  # RFC 3339
_QUANTITY = re.compile(r"\d{1,13}(\.\d{1,6})?", re.ASCII)
_DIGITS_MAX = 40  # of a number as it was written; 13 before and 6 behind the point can matter


@dataclass(frozen=True, slots=True)
class Reported:
    """What an event says: so many millionths of a meter's unit, used by a subject at a time.

    `digest` covers what is billed: the same source and id with another digest is another event.
    """

    source: str
    event_id: str
    meter: str
    subject: str
    quantity_micro: int
    occurred_at: datetime
    digest: bytes

    @property
    def key(self) -> tuple[str, str]:
        """What makes an event one event, however often it is sent."""
        return self.source, self.event_id


def read_json(content: str | bytes) -> Any:
    """A JSON text without any float: numbers are int or Decimal. Raises ValueError."""
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_event(document: object, now: datetime) -> Reported | SwarmexError:
    """The facts of an event, or why it cannot be billed."""
    try:
        return _read(document, now)
    except Invalid as error:
        return error


def _read(document: object, now: datetime) -> Reported:
    if not isinstance(document, Mapping):
        raise Invalid("this is no event", code="invalid_event", field="event", accepted="a CloudEvent as a JSON object")
    if (version := document.get("specversion")) != SPEC_VERSION:
        raise _invalid("specversion", version, SPEC_VERSION)
    source, event_id = _text(document, "source"), _text(document, "id")
    meter, subject = _text(document, "type"), _text(document, "subject")
    stated = document.get("time")
    moment = None if stated is None else _moment(stated, now)
    _check_json(document)
    data = document.get("data")
    if not isinstance(data, Mapping):
        raise _invalid("data", data, 'a JSON object, as in {"quantity": "1.5"}')
    quantity = _quantity_micro(data.get("quantity"))
    facts = [meter, subject, moment and moment.isoformat(), quantity]
    digest = hashlib.sha256(json.dumps(facts).encode()).digest()
    return Reported(source, event_id, meter, subject, quantity, moment or now, digest)


def _check_json(document: Mapping[Any, object]) -> None:
    """Raise Invalid for data that are, by what the event says of them, no JSON."""
    stated = document.get("datacontenttype")
    if stated is not None and not _is_json(stated):
        raise _invalid("datacontenttype", stated, "application/json, or none")
    if (encoded := document.get("data_base64")) is not None:
        raise _invalid("data_base64", encoded, "data instead, a JSON object")


def _is_json(media_type: object) -> bool:
    """Whether it is a media type whose content is JSON: subtype json, or one that ends with +json."""
    kind, _, subtype = str(media_type).partition(";")[0].strip().lower().partition("/")
    return isinstance(media_type, str) and bool(kind) and (subtype == "json" or subtype.endswith("+json"))


def _text(document: Mapping[Any, object], field: str) -> str:
    text = document.get(field)
    if not (isinstance(text, str) and 1 <= len(text) <= TEXT_CHARS_MAX and text.isprintable()):
        raise _invalid(field, text, f"1 to {TEXT_CHARS_MAX} printable characters")
    return text


def _moment(stated: object, now: datetime) -> datetime:
    moment = _parse_time(stated)
    if moment is None:
        raise _invalid("time", stated, "an RFC 3339 time with its offset, as in 2026-10-31T23:59:59Z")
    if moment > now + SKEW_MAX:
        raise Invalid(
            f"{moment.isoformat()} is still to come",
            code="time_in_future",
            field="time",
            accepted=f"at most {SKEW_MAX.total_seconds():.0f} s ahead of the market's clock",
        )
    if moment < now - AGE_MAX:
        raise Invalid(
            f"{moment.isoformat()} is too long ago",
            code="time_too_old",
            field="time",
            accepted=f"at most {AGE_MAX.days} days ago",
        )
    return moment


def _parse_time(stated: object) -> datetime | None:
    try:
        if isinstance(stated, str) and _TIME.fullmatch(stated.upper()):
            return datetime.fromisoformat(stated.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # February 30th; the first second of year 1 east of Greenwich
        return None
    return None


def _quantity_micro(stated: object) -> int:
    """Exact millionths of a decimal string or a JSON number; raises Invalid(`invalid_quantity`)."""
    number = stated
    if isinstance(stated, str) and _QUANTITY.fullmatch(stated):
        number = Decimal(stated)
    if isinstance(number, int | Decimal) and not isinstance(number, bool) and 0 <= number <= QUANTITY_MAX:
        exact = Decimal(number)
        # The range bounds its size; what is smaller than a millionth, or has more digits than fit, is not expanded.
        if not exact or (exact.adjusted() >= -6 and len(exact.as_tuple().digits) <= _DIGITS_MAX):
            micro = Fraction(exact) * MICRO if exact else Fraction(0)
            if micro.denominator == 1:
                return micro.numerator
    accepted = f"a decimal string or a number from 0 to {QUANTITY_MAX} with at most 6 decimals"
    raise _invalid("data.quantity", stated, accepted, "invalid_quantity")


def _invalid(field: str, value: object, accepted: str, code: str | None = None) -> Invalid:
    if value is None:
        return Invalid(f"{field} is missing", code="missing_field", field=field, accepted=accepted)
    return Invalid(
        f"{field} {shown(value)} cannot be used", code=code or f"invalid_{field}", field=field, accepted=accepted
    )


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
