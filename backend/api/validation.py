"""Pydantic's complaints in the market's own words: a code, a field and what would be accepted."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from backend.domain.errors import Invalid
from backend.gateway.errors import InvalidJson

CODES = {"missing": "missing_field", "extra_forbidden": "unknown_field"}
FIELD_CHARS_MAX = 200
PARSERS = {"uuid_parsing", "datetime_parsing", "datetime_from_date_parsing", "date_from_datetime_parsing"}
KIND = "kind "  # begins the parts of a location that say which of several forms a body was taken for
OWN_CODES = "swarmex:"  # prefix of the error types that wire schemas raise themselves


def translate(error: RequestValidationError) -> Invalid:
    """The first complaint about a request as a domain error."""
    return problem(error.errors()[0])


def problem(complaint: Mapping[str, Any]) -> Invalid:
    """One complaint of pydantic as a domain error; input values are never repeated, they may be secrets."""
    kind, location, context = complaint["type"], complaint["loc"], complaint.get("ctx", {})
    message = str(complaint["msg"])
    if kind == "json_invalid":
        return InvalidJson(f"the body is not JSON: {context.get('error')} at character {location[-1]}")
    field = field_name(location)
    if kind.startswith(OWN_CODES):
        code, accepted = kind.removeprefix(OWN_CODES), context.get("accepted")
    elif field == "body":
        code, accepted = "invalid_body", "a JSON object, sent as Content-Type: application/json"
    else:
        code, accepted = CODES.get(kind) or _code(location), _accepted(kind, message)
    return Invalid(_message(code, field, message), code=code, field=field, accepted=accepted)


def field_name(location: Sequence[Any]) -> str:
    """`("body", "requests", 0, "inputs")` as `requests[0].inputs`."""
    name = ""
    for part in location[1:]:
        if str(part).startswith(KIND):
            continue
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    # A client chooses the names of unknown fields: whatever they are, they must fit into an answer.
    return (name or str(location[0])).encode("ascii", "backslashreplace").decode()[:FIELD_CHARS_MAX]


def _code(location: Sequence[Any]) -> str:
    """`invalid_` and the innermost field's name, as the domain's own codes are built."""
    return f"invalid_{[part for part in location if isinstance(part, str)][-1]}"


def _message(code: str, field: str, message: str) -> str:
    told = {
        "missing_field": f"{field} is missing",
        "unknown_field": f"{field} is not a field of this request",
    }
    return told.get(code, f"{field}: {message}")


def _accepted(kind: str, message: str) -> str | None:
    if kind in CODES:
        return "a value" if kind == "missing" else "only the fields that the schema at /openapi.json lists"
    told = message.removeprefix("Input should be ").removeprefix("Value error, ")
    # After the comma pydantic's parsers tell what they stumbled over, which nobody should send.
    return told.partition(", ")[0] if kind in PARSERS else told
