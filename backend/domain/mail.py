"""The messages by which a node that cannot be dialled fetches real-time requests and brings the answers.

A message is the length of its head (4 bytes, big-endian), the head (JSON: an object per letter) and the bodies of all
letters, one after the other, as they are: tensors travel raw.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend.domain.errors import Invalid, TooLarge
from backend.domain.tiers import TierName
from backend.domain.urgency import tier_named

LETTERS_MAX = 16  # requests in one poll, and answers in one message
REQUEST_BYTES_MAX = 4 << 20  # of one request to such a node: it waits in Redis, which has other things to keep
ANSWER_BYTES_MAX = 7 << 20  # of the answers in one message: below the limit of any body, its head included
REQUESTS_BYTES_MAX = 8 << 20  # of the requests in one poll, unless a single one has more
HEAD_BYTES_MAX = 1 << 16
ID_CHARS = 32
PATH_CHARS_MAX = 400
PATHS = "/v2/models/"  # begins the path of every request that is brought
STATUS_MIN, STATUS_MAX = 200, 599
BUSY_US_MAX = 3_600_000_000
_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class MailedRequest:
    """A request of the Open Inference Protocol that a node fetches; it is worth nothing after `left_ms`.

    Raw buffers follow the first `header_length` bytes of `body`, unless all of it is JSON.
    """

    id: str
    path: str
    header_length: int | None
    left_ms: int
    body: bytes
    traceparent: str | None = None
    tier: TierName = TierName.MEDIUM


@dataclass(frozen=True, slots=True)
class MailedAnswer:
    """What the node's protocol server answered to it; `busy_us` is the time in its engine, where it says so."""

    id: str
    status: int
    header_length: int | None
    busy_us: int | None
    body: bytes


def pack_requests(requests: Sequence[MailedRequest]) -> bytes:
    """Requests as one message."""
    heads = [
        {
            "id": one.id,
            "path": one.path,
            "header_length": one.header_length,
            "left_ms": one.left_ms,
            "traceparent": one.traceparent,
            "tier": one.tier,
            "size": len(one.body),
        }
        for one in requests
    ]
    return _packed(heads, [one.body for one in requests])


def unpack_requests(message: bytes) -> list[MailedRequest]:
    """The requests in a message; raises Invalid(`corrupt_message`), TooLarge."""
    return [
        MailedRequest(
            _id(head),
            _path(head),
            _header_length(head, len(body)),
            _count(head, "left_ms", BUSY_US_MAX),
            body,
            _text(head, "traceparent"),
            tier_named(_text(head, "tier")),
        )
        for head, body in _unpacked(message)
    ]


def pack_answers(answers: Sequence[MailedAnswer]) -> bytes:
    """Answers as one message."""
    heads = [
        {
            "id": one.id,
            "status": one.status,
            "header_length": one.header_length,
            "busy_us": one.busy_us,
            "size": len(one.body),
        }
        for one in answers
    ]
    return _packed(heads, [one.body for one in answers])


def unpack_answers(message: bytes) -> list[MailedAnswer]:
    """The answers in a message; raises Invalid(`corrupt_message`), TooLarge."""
    return [
        MailedAnswer(
            _id(head),
            _status(head),
            _header_length(head, len(body)),
            None if head.get("busy_us") is None else _count(head, "busy_us", BUSY_US_MAX),
            body,
        )
        for head, body in _unpacked(message)
    ]


def _packed(heads: list[dict[str, Any]], bodies: list[bytes]) -> bytes:
    head = json.dumps(heads, separators=(",", ":")).encode()
    return b"".join([len(head).to_bytes(_LENGTH_BYTES, "big"), head, *bodies])


def _unpacked(message: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """Head and body of each letter; together they are all of the message."""
    length = int.from_bytes(message[:_LENGTH_BYTES], "big")
    at = _LENGTH_BYTES + length
    if len(message) < at:
        raise _corrupt("message", "a head of the length that it begins with")
    if length > HEAD_BYTES_MAX:
        raise TooLarge("the head is too large", field="message", accepted=f"at most {HEAD_BYTES_MAX} bytes")
    try:
        heads = json.loads(message[_LENGTH_BYTES:at])
    except (ValueError, RecursionError):
        heads = None
    if not isinstance(heads, list) or not all(isinstance(head, dict) for head in heads):
        raise _corrupt("message", "a head that is a JSON array of objects")
    if len(heads) > LETTERS_MAX:
        raise TooLarge("too many letters", field="message", accepted=f"at most {LETTERS_MAX}")
    letters = []
    for head in heads:
        size = _count(head, "size", len(message))
        letters.append((head, message[at : at + size]))
        at += size
    if at != len(message):
        raise _corrupt("size", "sizes that together are those of all bodies")
    return letters


def _id(head: dict[str, Any]) -> str:
    told = head.get("id")
    if not (isinstance(told, str) and len(told) == ID_CHARS and told.isascii() and told.isalnum()):
        raise _corrupt("id", f"{ID_CHARS} letters and digits")
    return told


def _path(head: dict[str, Any]) -> str:
    told = head.get("path")
    if not (isinstance(told, str) and told.isascii() and told.startswith(PATHS) and len(told) <= PATH_CHARS_MAX):
        raise _corrupt("path", f"at most {PATH_CHARS_MAX} characters that begin with {PATHS}")
    return told


def _status(head: dict[str, Any]) -> int:
    told = _count(head, "status", STATUS_MAX)
    if told < STATUS_MIN:
        raise _corrupt("status", f"{STATUS_MIN} to {STATUS_MAX}")
    return told


def _header_length(head: dict[str, Any], size: int) -> int | None:
    return None if head.get("header_length") is None else _count(head, "header_length", size)


def _text(head: dict[str, Any], name: str) -> str | None:
    told = head.get(name)
    if told is not None and not (isinstance(told, str) and told.isascii() and len(told) <= PATH_CHARS_MAX):
        raise _corrupt(name, f"at most {PATH_CHARS_MAX} ASCII characters")
    return told


def _count(head: dict[str, Any], name: str, most: int) -> int:
    told = head.get(name)
    if not isinstance(told, int) or isinstance(told, bool) or not 0 <= told <= most:
        raise _corrupt(name, f"a whole number, 0 to {most}")
    return told


def _corrupt(field: str, accepted: str) -> Invalid:
    return Invalid("the message cannot be read", code="corrupt_message", field=field, accepted=accepted)
