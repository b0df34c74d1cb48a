"""Messages as they lie in Redis: one of ours, and ways to spoil it."""

import json
from base64 import b64encode
from typing import Any
from uuid import UUID

from backend.domain.dead_letters import DeathReason
from backend.messaging.judging import MESSAGE_BYTES_MAX

UNIT = UUID("019a0000-0000-7000-8000-000000000001")
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def body(*parts: object) -> str:
    """A body of these parts."""
    return b64encode(json.dumps(parts).encode()).decode()


def message(**changes: Any) -> bytes:
    """Our message; `headers` and `properties` are merged into its own, other changes replace."""
    headers: dict[str, Any] = {
        "lang": "py",
        "task": "swarmex.run_unit",
        "id": str(UNIT),
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "stamped_headers": None,
        "stamps": {},
        "swarmex_version": 1,
        "traceparent": f"00-{UNIT.hex}-00f067aa0ba902b7-01",
    }
    properties: dict[str, Any] = {
        "correlation_id": str(UNIT),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "pool.p"},
        "priority": 6,
        "body_encoding": "base64",
        "delivery_tag": "4d1e",
    }
    envelope: dict[str, Any] = {
        "body": body([str(UNIT)], {}, EMBED),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers | changes.pop("headers", {}),
        "properties": properties | changes.pop("properties", {}),
    }
    return json.dumps(envelope | changes).encode()


BAD: dict[str, tuple[bytes, DeathReason]] = {
    "not JSON": (b"\x80\x04garbage", DeathReason.CORRUPT),
    "empty": (b"", DeathReason.CORRUPT),
    "not an object": (b"[]", DeathReason.CORRUPT),
    "deep": (b"[" * 10_000, DeathReason.CORRUPT),
    "objects of kombu": (message(headers={"x": {"__type__": "uuid", "__value__": "x"}}), DeathReason.CORRUPT),
    "oversized": (message(headers={"x": "y" * MESSAGE_BYTES_MAX}), DeathReason.OVERSIZED),
    "pickle": (message(**{"content-type": "application/x-python-serialize"}), DeathReason.CONTENT_TYPE),
    "no content type": (message(**{"content-type": None}), DeathReason.CONTENT_TYPE),
    "no headers": (json.dumps({"content-type": "application/json", "properties": {}}).encode(), DeathReason.CORRUPT),
    "unknown task": (message(headers={"task": "celery.backend_cleanup"}), DeathReason.UNKNOWN_TASK),
    "no task": (message(headers={"task": None}), DeathReason.UNKNOWN_TASK),
    "task of another type": (message(headers={"task": 7}), DeathReason.UNKNOWN_TASK),
    "newer version": (message(headers={"swarmex_version": 2}), DeathReason.UNKNOWN_VERSION),
    "no version": (message(headers={"swarmex_version": None}), DeathReason.UNKNOWN_VERSION),
    "version of another type": (message(headers={"swarmex_version": True}), DeathReason.UNKNOWN_VERSION),
    "no id": (message(headers={"id": None}), DeathReason.CORRUPT),
    "delayed": (message(headers={"eta": "2099-01-01T00:00:00"}), DeathReason.CORRUPT),
    "expiring": (message(headers={"expires": 5}), DeathReason.CORRUPT),
    "with a time limit": (message(headers={"timelimit": [1]}), DeathReason.CORRUPT),
    "compressed": (message(headers={"compression": "application/x-gzip"}), DeathReason.CORRUPT),
    "a header that is not plain": (message(headers={"x": [1]}), DeathReason.CORRUPT),
    "no delivery tag": (message(properties={"delivery_tag": None}), DeathReason.CORRUPT),
    "no delivery information": (message(properties={"delivery_info": []}), DeathReason.CORRUPT),
    "a property that is not plain": (message(properties={"priority": [0]}), DeathReason.CORRUPT),
    "delivery information that is not plain": (
        message(properties={"delivery_info": {"exchange": "", "routing_key": "q", "x": {}}}),
        DeathReason.CORRUPT,
    ),
    "a body in plain text": (message(properties={"body_encoding": None}), DeathReason.CORRUPT),
    "a body of another encoding": (message(**{"content-encoding": "binary"}), DeathReason.CORRUPT),
    "a body that is not base64": (message(body="¡"), DeathReason.CORRUPT),
    "a body that is not JSON": (message(body="AAAA"), DeathReason.CORRUPT),
    "no arguments": (message(body=body([], {}, EMBED)), DeathReason.CORRUPT),
    "two units": (message(body=body([str(UNIT), str(UNIT)], {}, EMBED)), DeathReason.CORRUPT),
    "no id of a unit": (message(body=body(["1; DROP TABLE units"], {}, EMBED)), DeathReason.CORRUPT),
    "keyword arguments": (message(body=body([str(UNIT)], {"x": 1}, EMBED)), DeathReason.CORRUPT),
    "a call-back": (message(body=body([str(UNIT)], {}, EMBED | {"callbacks": [{}]})), DeathReason.CORRUPT),
}
