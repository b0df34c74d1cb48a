"""Whether a message is one of ours, told from its bytes alone: before Celery sees it, which would trip over some."""

import hashlib
from base64 import b64decode
from typing import Any
from uuid import UUID

import orjson

from backend.domain.dead_letters import EXCERPT_CHARS_MAX, DeadMessage, DeathReason
from backend.messaging.queues import MESSAGE_VERSION, TASK_KINDS, VERSION_HEADER

MESSAGE_BYTES_MAX = 16_384  # ours have about 1,150
CONTENT_TYPE = "application/json"

# What our messages never say: not before, not after, within, how often, and then what.
_FIXED_HEADERS: dict[str, tuple[Any, ...]] = {
    "eta": (None,),
    "expires": (None,),
    "retries": (0,),
    "timelimit": ([None, None], None),
    "shadow": (None,),
    "group": (None,),
    "stamps": (None, {}),
    "stamped_headers": (None, []),
    "compression": (None,),
}
_PLAIN = (str, int, float, type(None))


class Refused(Exception):
    """A message that is not ours, and why."""

    def __init__(self, reason: DeathReason, error: str) -> None:
        super().__init__(error)
        self.reason = reason


def judge(raw: bytes) -> DeadMessage | None:
    """What is wrong with a message as it lies in Redis; None if nothing is."""
    try:
        _check(raw)
    except Refused as refused:
        return buried(raw, refused.reason, str(refused))
    return None


def buried(raw: bytes, reason: DeathReason, error: str) -> DeadMessage:
    """What is kept of a message."""
    head = raw[:EXCERPT_CHARS_MAX].decode(errors="replace")
    excerpt = "".join(char if char.isprintable() else "·" for char in head)
    return DeadMessage(reason, error, len(raw), hashlib.sha256(raw).hexdigest(), excerpt)


def unit_in(raw: bytes) -> UUID | None:
    """The unit that a message names; None if it is not one of ours."""
    try:
        return _check(raw)
    except Refused:
        return None


def _check(raw: bytes) -> UUID:
    if len(raw) > MESSAGE_BYTES_MAX:
        raise Refused(DeathReason.OVERSIZED, f"{len(raw)} bytes; at most {MESSAGE_BYTES_MAX}")
    envelope = _parsed(raw, "envelope", dict)
    content_type = envelope.get("content-type")
    if content_type != CONTENT_TYPE:
        raise Refused(DeathReason.CONTENT_TYPE, f"content type {content_type!r:.60}; only {CONTENT_TYPE}")
    headers, properties = envelope.get("headers"), envelope.get("properties")
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        raise _corrupt("no headers or no properties")
    if headers.get("task") not in TASK_KINDS:
        raise Refused(DeathReason.UNKNOWN_TASK, f"task {headers.get('task')!r:.60}; known: {', '.join(TASK_KINDS)}")
    version = headers.get(VERSION_HEADER)
    if type(version) is not int or version != MESSAGE_VERSION:
        raise Refused(DeathReason.UNKNOWN_VERSION, f"version {version!r:.60}; known: {MESSAGE_VERSION}")
    _check_headers(headers)
    _check_properties(properties)
    return _check_body(envelope, properties)


def _check_headers(headers: dict[str, Any]) -> None:
    if not isinstance(headers.get("id"), str):
        raise _corrupt("no id")
    for name, value in headers.items():
        if name in _FIXED_HEADERS:
            if not any(value == fixed and type(value) is type(fixed) for fixed in _FIXED_HEADERS[name]):
                raise _corrupt(f"header {name!r:.40} says {value!r:.60}")
        elif not isinstance(value, _PLAIN):
            raise _corrupt(f"header {name!r:.40} is not plain")


def _check_properties(properties: dict[str, Any]) -> None:
    delivery = properties.get("delivery_info")
    if not isinstance(delivery, dict) or not isinstance(properties.get("delivery_tag"), str):
        raise _corrupt("no delivery tag or no delivery information")
    if not all(isinstance(delivery.get(name), str) for name in ("exchange", "routing_key")):
        raise _corrupt("delivery information without a queue")
    others = [value for name, value in properties.items() if name != "delivery_info"]
    if not all(isinstance(value, _PLAIN) for value in [*others, *delivery.values()]):
        raise _corrupt("a property is not plain")


def _check_body(envelope: dict[str, Any], properties: dict[str, Any]) -> UUID:
    body = envelope.get("body")
    if properties.get("body_encoding") != "base64" or not isinstance(body, str):
        raise _corrupt("a body that is not in base64")
    if envelope.get("content-encoding") != "utf-8":
        raise _corrupt("a body that is not in UTF-8")
    try:
        decoded = b64decode(body, validate=True)
    except ValueError:
        raise _corrupt("a body that is not in base64") from None
    match _parsed(decoded, "body", list):
        case [[str(unit)], {**kwargs}, {**embed}] if not kwargs and not any(embed.values()):
            try:
                return UUID(unit)
            except ValueError:
                raise _corrupt(f"{unit!r:.60} is not a unit's id") from None
    raise _corrupt("a body that does not name one unit and nothing else")


def _parsed(text: bytes, what: str, kind: type) -> Any:
    if b"__type__" in text:  # kombu would make objects of it
        raise _corrupt(f"an {what} with objects in it")
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _corrupt(f"{what} is not JSON: {error}") from None
    if not isinstance(parsed, kind):
        raise _corrupt(f"{what} is not a JSON {kind.__name__}")
    return parsed


def _corrupt(error: str) -> Refused:
    return Refused(DeathReason.CORRUPT, error)
