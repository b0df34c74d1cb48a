"""CloudEvents as HTTP carries them: one in structured mode, a batch, or one in binary mode.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, Request

from backend.domain.cloudevents import EVENTS_MAX, read_json
from backend.domain.errors import Invalid
from backend.gateway.errors import InvalidJson

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
PREFIX = "ce-"  # of the headers that are attributes in binary mode

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')

EXAMPLE = {
    "specversion": "1.0",
    "id": "2026-10-31T23/bucket-7",
    "source": "/storage/north",
    "type": "storage.gb_hours",
    "subject": "acme",
    "time": "2026-10-31T23:59:59Z",
    "data": {"quantity": "1.5"},
}
_SCHEMA = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "description": "The same in each retry: an event is billed once per source and id."},
        "source": {"type": "string"},
        "type": {"type": "string", "description": "A meter."},
        "subject": {"type": "string", "description": "The account that pays: its id or name."},
        "time": {"type": "string", "format": "date-time", "description": "When it was used; now, unless stated."},
        "data": {
            "type": "object",
            "required": ["quantity"],
            "properties": {
                "quantity": {
                    "type": ["string", "number"],
                    "minimum": 0,
                    "description": "Units of the meter, with at most 6 decimals.",
                }
            },
        },
    },
    "example": EXAMPLE,
}
REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            ONE: {"schema": _SCHEMA},
            BATCH: {"schema": {"type": "array", "maxItems": EVENTS_MAX, "items": _SCHEMA}},
        },
    }
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that reports usage, not read yet."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def is_batch(self) -> bool:
        """Whether it may hold many events, each with an answer of its own."""
        return self._media_type == BATCH

    def documents(self) -> list[Any]:
        """The events in it; raises InvalidJson or Invalid."""
        if self._media_type not in (ONE, BATCH) and f"{PREFIX}specversion" not in self.headers:
            raise Invalid(
                "these are no CloudEvents",
                code="invalid_content_type",
                field="Content-Type",
                accepted=f"{ONE}, {BATCH}, or JSON data with headers {PREFIX}specversion, {PREFIX}id and so on",
            )
        try:
            content = read_json(self.body)
        except ValueError as error:
            raise InvalidJson(f"the body is not JSON: {str(error)[:100]}", field="body") from None
        if self._media_type == ONE:
            return [content]
        if self._media_type != BATCH:
            return [self._attributes() | {"data": content}]
        if not isinstance(content, list):
            raise Invalid("this is no batch", code="invalid_events", field="body", accepted="a JSON array of events")
        return content

    @property
    def _media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def _attributes(self) -> dict[str, Any]:
        """What the headers say; raises Invalid for one whose text is not UTF-8, since it might pass for another."""
        attributes = {
            name.removeprefix(PREFIX): _attribute(name, value)
            for name, value in self.headers.items()
            if name.startswith(PREFIX)
        }
        return attributes | {"datacontenttype": self._media_type or None}


def _attribute(name: str, value: str) -> str:
    """A header's value, out of its quotes if it has any, and decoded once; raises Invalid."""
    if quoted := _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        field = name.removeprefix(PREFIX)
        accepted = f"a header {name} in percent-encoded UTF-8"
        raise Invalid(f"{field} is not UTF-8", code=f"invalid_{field}", field=field, accepted=accepted) from None


async def _sent(request: Request) -> Sent:
    return Sent(dict(request.headers), await request.body())


Events = Annotated[Sent, Depends(_sent)]
