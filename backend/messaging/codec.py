"""Events on the wire: small JSON objects that carry a version, so that they may grow."""

import orjson

from backend.domain.events import Event, Topic

VERSION = 1
KEY_CHARS_MAX = 200
PAYLOAD_BYTES_MAX = 1024


class UndecodableEvent(ValueError):
    """A payload that is not an event of ours."""


def encode(event: Event) -> bytes:
    """The payload of `event`; raises ValueError when its key is too long."""
    if len(event.key) > KEY_CHARS_MAX:
        raise ValueError(f"key of {len(event.key)} characters, at most {KEY_CHARS_MAX}")
    return orjson.dumps({"v": VERSION, "topic": event.topic, "key": event.key})


def decode(payload: bytes) -> Event:
    """The event of a payload; fields that a later version adds are ignored. Raises UndecodableEvent."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise UndecodableEvent(f"{len(payload)} bytes, at most {PAYLOAD_BYTES_MAX}")
    try:
        body = orjson.loads(payload)
        topic, key = Topic(body["topic"]), body["key"]
    except (ValueError, KeyError, TypeError) as error:
        raise UndecodableEvent(str(error)) from error
    if not isinstance(key, str):
        raise UndecodableEvent("the key is not a string")
    return Event(topic, key)
