"""Private orders as the market sees them: sealed payloads, whom they are for, and their shape. Nothing is opened here.

What is sealed, and how, is `private_sealing`; the market needs none of it.
"""

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backend.domain.errors import Invalid, TooLarge
from backend.domain.ids import NodeId, SealingKeyId
from backend.domain.tensors import ELEMENTS_MAX

VERSION = 1
RECIPIENTS_MAX = 16
KEY_BYTES = 32  # of X25519 keys, public and secret, and of the key of an order's data
NONCE_BYTES = 32  # of an order: what was sealed for one is no part of another
SEALED_KEY_BYTES = KEY_BYTES + 48  # libsodium's sealed box: a public key of its own and a tag
SEAL_BYTES = 40  # what sealing a payload adds to it: a nonce of 24 bytes and a tag of 16
_ITEM, _ANSWER = b'{"private":', b'{"sealed":"'


@dataclass(frozen=True, slots=True)
class Recipient:
    """A node's key, and the key of the order's data sealed to it."""

    key_id: SealingKeyId
    sealed_key: bytes


@dataclass(frozen=True, slots=True)
class SealedItem:
    """A request of the order as only its recipients can read it; `rows` is what its sender says that it has."""

    rows: int
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a private order brings instead of its requests; answers are sealed to `reply_key`."""

    nonce: bytes
    reply_key: bytes
    recipients: Sequence[Recipient]
    items: Sequence[SealedItem]
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class PrivateItem:
    """A claimed item as its node reads it, still sealed; `sealed_keys` are by node."""

    nonce: bytes
    reply_key: bytes
    index: int
    count: int
    sealed_keys: Mapping[NodeId, bytes]
    ciphertext: bytes


def check_envelope(envelope: Envelope) -> None:
    """Raise Invalid(`malformed_envelope`, `too_many_recipients`) for what no recipient could open."""
    if envelope.version != VERSION:
        raise _malformed("version", "this version is not known", str(VERSION))
    _check_size("nonce", envelope.nonce, NONCE_BYTES)
    _check_size("reply_key", envelope.reply_key, KEY_BYTES)
    if not envelope.recipients:
        raise _malformed("recipients", "the order is for nobody", f"1 to {RECIPIENTS_MAX} keys")
    if len(envelope.recipients) > RECIPIENTS_MAX:
        raise TooLarge(
            f"{len(envelope.recipients)} recipients",
            code="too_many_recipients",
            field="private.recipients",
            accepted=f"1 to {RECIPIENTS_MAX}",
        )
    if len({recipient.key_id for recipient in envelope.recipients}) < len(envelope.recipients):
        raise _malformed("recipients", "a key is named twice", "each key once")
    for number, recipient in enumerate(envelope.recipients):
        _check_size(f"recipients[{number}].sealed_key", recipient.sealed_key, SEALED_KEY_BYTES)
    for number, item in enumerate(envelope.items):
        if not 1 <= item.rows <= ELEMENTS_MAX:
            raise _malformed(f"items[{number}].rows", f"{item.rows} rows", f"1 to {ELEMENTS_MAX}")
        if len(item.ciphertext) <= SEAL_BYTES:
            raise _malformed(f"items[{number}].ciphertext", "nothing is in it", f"more than {SEAL_BYTES} bytes")


def item_inputs(envelope: Envelope, nodes: Mapping[SealingKeyId, NodeId], index: int) -> bytes:
    """What a node is given of an item: all that it needs to open it, and nothing that opens it without a key."""
    recipients = [
        {"node": str(nodes[one.key_id]), "sealed_key": encoded(one.sealed_key)} for one in envelope.recipients
    ]
    head = {
        "version": envelope.version,
        "nonce": encoded(envelope.nonce),
        "reply_key": encoded(envelope.reply_key),
        "index": index,
        "count": len(envelope.items),
        "recipients": recipients,
    }
    body = {"private": head, "sealed": encoded(envelope.items[index].ciphertext)}
    return json.dumps(body, separators=(",", ":")).encode()


def is_private(inputs: bytes) -> bool:
    """Whether these inputs of an item are sealed; others are written by the market, and begin otherwise."""
    return inputs.startswith(_ITEM)


def read_item(inputs: bytes) -> PrivateItem:
    """The inverse of `item_inputs`; raises Invalid(`malformed_envelope`)."""
    try:
        body = json.loads(inputs)
        head = body["private"]
        if head["version"] != VERSION:
            raise _malformed("version", "this version is not known", str(VERSION))
        return PrivateItem(
            decoded(head["nonce"]),
            decoded(head["reply_key"]),
            int(head["index"]),
            int(head["count"]),
            {NodeId(UUID(one["node"])): decoded(one["sealed_key"]) for one in head["recipients"]},
            decoded(body["sealed"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _malformed("items", "it cannot be read", "what the market wrote") from None


def answer_outputs(ciphertext: bytes) -> bytes:
    """What a node commits for a private item."""
    return _ANSWER + b64encode(ciphertext) + b'"}'


def sealed_in(outputs: bytes) -> bytes | None:
    """The inverse of `answer_outputs`; None for outputs of any other form."""
    if not outputs.startswith(_ANSWER) or not outputs.endswith(b'"}'):
        return None
    try:
        ciphertext = b64decode(outputs[len(_ANSWER) : -2], validate=True)
    except binascii.Error:
        return None
    return ciphertext if len(ciphertext) > SEAL_BYTES else None


def encoded(value: bytes) -> str:
    """Bytes as JSON has them."""
    return b64encode(value).decode()


def decoded(value: Any) -> bytes:
    """The inverse of `encoded`; raises ValueError or TypeError."""
    return b64decode(value, validate=True)


def _check_size(name: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise _malformed(name, f"{len(value)} bytes", f"{size} bytes")


def _malformed(name: str, message: str, accepted: str) -> Invalid:
    return Invalid(
        f"{name}: {message}", code="malformed_envelope", field=f"private.{name}", accepted=f"{accepted}, in base64"
    )
