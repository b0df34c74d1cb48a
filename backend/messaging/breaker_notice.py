"""What one process tells the others of a breaker, as it travels and as it is kept; foreign bytes are not trusted."""

from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from pybreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN

from backend.messaging.breaker_policy import RECOVERY_MAX_S

STATES = (STATE_CLOSED, STATE_OPEN, STATE_HALF_OPEN)
NAME_CHARS_MAX = 200
ORIGIN_CHARS_MAX = 200
BYTES_MAX = 2_000
KEPT_S = 60.0  # on the board, beyond its time to retry: whoever posted it may be gone


class UnreadableNotice(ValueError):
    """Bytes that no version of ours has written."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A breaker changed its state; it refuses for another `retry_s`. `serial` counts the notices of `origin`."""

    name: str
    state: str
    retry_s: float
    origin: str
    serial: int


@dataclass(frozen=True, slots=True)
class Posted:
    """A breaker that is not closed, as the board has it; `origin` (host, process, token) found it out."""

    name: str
    state: str
    retry_s: float
    origin: str
    changed_at: datetime
    stale: bool = False  # nobody has confirmed it for too long


def encode(notice: Notice) -> bytes:
    """As it travels."""
    return orjson.dumps(notice)


def decode(payload: bytes) -> Notice:
    """The notice; raises UnreadableNotice."""
    match _loaded(payload):
        case {"name": str(name), "state": str(state), "retry_s": retry_s, "origin": str(origin), "serial": int(serial)}:
            return Notice(_name(name), _state(state), _seconds(retry_s), origin[:ORIGIN_CHARS_MAX], serial)
    raise UnreadableNotice("not a notice")


def encode_kept(notice: Notice, now_ms: int) -> bytes:
    """As it is kept, with times by the server's own clock."""
    retry_ms = now_ms + int(notice.retry_s * 1_000)
    return orjson.dumps({"state": notice.state, "retry_ms": retry_ms, "changed_ms": now_ms, "origin": notice.origin})


def decode_kept(name: bytes, payload: bytes, now_ms: int) -> Posted:
    """What is kept of a breaker, as seen at `now_ms` of the server's clock; raises UnreadableNotice."""
    match _loaded(payload):
        case {"state": str(state), "retry_ms": int(retry_ms), "changed_ms": int(changed_ms), "origin": str(origin)}:
            left_s = (retry_ms - now_ms) / 1_000
            return Posted(
                _name(name.decode(errors="replace")),
                _state(state),
                min(max(0.0, left_s), RECOVERY_MAX_S),
                origin[:ORIGIN_CHARS_MAX],
                _moment(changed_ms),
                stale=left_s < -KEPT_S,
            )
    raise UnreadableNotice("not an entry of the board")


def _loaded(payload: bytes) -> object:
    if len(payload) > BYTES_MAX:
        raise UnreadableNotice(f"above {BYTES_MAX} bytes")
    try:
        loaded: object = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise UnreadableNotice(str(error)) from None
    return loaded


def _name(name: str) -> str:
    if not 0 < len(name) <= NAME_CHARS_MAX:
        raise UnreadableNotice("no name, or a long one")
    return name


def _state(state: str) -> str:
    if state not in STATES:
        raise UnreadableNotice("an unknown state")
    return state


def _seconds(value: object) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= RECOVERY_MAX_S:
        raise UnreadableNotice("seconds out of range")
    return float(value)


def _moment(ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC)
    except (OverflowError, ValueError, OSError):
        raise UnreadableNotice("no such time") from None
