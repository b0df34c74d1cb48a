"""The cryptography of private orders, for whoever seals and whoever opens: clients and nodes use this, markets do not.

An order has a fresh key for its data, sealed to each recipient's X25519 key (libsodium's sealed box), and a fresh pair
of keys for its answers. Requests are sealed with XChaCha20-Poly1305; what each is bound to (the order, its place in it,
its rows, the very file of its model, the reply key) is authenticated with it, so that nothing can be swapped. Answers
are sealed likewise, by another key of the same origin, and then to the reply key: only a recipient can have made them,
and only the sender can read them, whatever becomes of a node's key later. Pure but for the randomness that libsodium
draws, which nobody else should choose.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import Aead
from nacl.utils import random

from backend.domain.errors import Invalid
from backend.domain.ids import NodeId, SealingKeyId
from backend.domain.private_envelope import (
    KEY_BYTES,
    NONCE_BYTES,
    Envelope,
    PrivateItem,
    Recipient,
    SealedItem,
    decoded,
    encoded,
)

_ITEM, _ANSWER = b"swarmex item", b"swarmex answer"


class CannotOpen(Invalid):
    """What was not sealed for this key, or not as it stands now; says no more, since there is nothing more to know."""

    code = "cannot_open"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An X25519 key pair."""

    secret: bytes = field(repr=False)
    public: bytes

    @staticmethod
    def new() -> "KeyPair":
        """A fresh one."""
        return KeyPair.of(bytes(PrivateKey.generate()))

    @staticmethod
    def of(secret: bytes) -> "KeyPair":
        """The pair of a secret key of KEY_BYTES."""
        return KeyPair(secret, bytes(PrivateKey(secret).public_key))


@dataclass(frozen=True, slots=True)
class SealedModel:
    """The model that an order is for: its file's checksum says which one it is, whatever a market calls it."""

    name: str
    version: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Binding:
    """What all items of an order are bound to."""

    model: SealedModel
    nonce: bytes
    reply_key: bytes
    count: int

    def of(self, purpose: bytes, index: int, rows: int) -> bytes:
        """What is authenticated with one item, or with its answer."""
        said = {
            "model": self.model.name,
            "model_version": self.model.version,
            "checksum": self.model.checksum,
            "nonce": encoded(self.nonce),
            "reply_key": encoded(self.reply_key),
            "count": self.count,
            "index": index,
            "rows": rows,
        }
        return purpose + b"\0" + json.dumps(said, separators=(",", ":"), sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class Opened:
    """A request that was opened, and what seals its answer."""

    body: bytes = field(repr=False)
    key: bytes = field(repr=False)
    binding: Binding
    index: int
    rows: int


@dataclass(frozen=True, slots=True)
class ReplyKeys:
    """What its sender keeps of an order, to open its answers."""

    secret: bytes = field(repr=False)
    key: bytes = field(repr=False)
    model: SealedModel
    nonce: bytes
    rows: tuple[int, ...]

    @property
    def binding(self) -> Binding:
        """What the order's items are bound to."""
        return Binding(self.model, self.nonce, KeyPair.of(self.secret).public, len(self.rows))

    def wire(self) -> dict[str, object]:
        """As JSON has it; whoever reads it reads the order's answers."""
        return {
            "secret": encoded(self.secret),
            "key": encoded(self.key),
            "model": self.model.name,
            "model_version": self.model.version,
            "checksum": self.model.checksum,
            "nonce": encoded(self.nonce),
            "rows": list(self.rows),
        }

    @staticmethod
    def from_wire(said: Mapping[str, object]) -> "ReplyKeys":
        """The inverse of `wire`; raises KeyError, ValueError or TypeError for anything else."""
        rows = said["rows"]
        if not isinstance(rows, list):
            raise TypeError("rows is no list")
        model = SealedModel(str(said["model"]), int(str(said["model_version"])), str(said["checksum"]))
        return ReplyKeys(
            decoded(said["secret"]), decoded(said["key"]), model, decoded(said["nonce"]), tuple(map(int, rows))
        )


def seal_order(
    bodies: Sequence[tuple[bytes, int]], model: SealedModel, recipients: Mapping[SealingKeyId, bytes]
) -> tuple[Envelope, ReplyKeys]:
    """Requests (protocol bodies with their rows) for the holders of these public keys, and what opens the answers.

    Raises Invalid(`malformed_key`) for a public key that nothing can be sealed to.
    """
    pair, key, nonce = KeyPair.new(), random(KEY_BYTES), random(NONCE_BYTES)
    keys = ReplyKeys(pair.secret, key, model, nonce, tuple(rows for _, rows in bodies))
    binding = keys.binding
    items = [
        SealedItem(rows, _sealed(_derived(key, _ITEM), body, binding.of(_ITEM, index, rows)))
        for index, (body, rows) in enumerate(bodies)
    ]
    sealed = [Recipient(key_id, seal_to(public, key)) for key_id, public in recipients.items()]
    return Envelope(nonce, pair.public, sealed, items), keys


def open_item(item: PrivateItem, model: SealedModel, rows: int, node_id: NodeId, secret: bytes) -> Opened:
    """The request of a claimed item of so many rows, by a node's secret key; raises CannotOpen."""
    sealed_key = item.sealed_keys.get(node_id)
    if sealed_key is None:
        raise CannotOpen("it is not for this node")
    key = open_with(secret, sealed_key)
    binding = Binding(model, item.nonce, item.reply_key, item.count)
    body = _opened(_derived(key, _ITEM), item.ciphertext, binding.of(_ITEM, item.index, rows))
    return Opened(body, key, binding, item.index, rows)


def seal_answer(opened: Opened, body: bytes) -> bytes:
    """The answer to a request, for its sender alone; raises Invalid(`malformed_key`) for a reply key that is none."""
    aad = opened.binding.of(_ANSWER, opened.index, opened.rows)
    return seal_to(opened.binding.reply_key, _sealed(_derived(opened.key, _ANSWER), body, aad))


def open_answer(keys: ReplyKeys, index: int, sealed: bytes) -> bytes:
    """The answer to the request of that place; raises CannotOpen for one that no recipient made for it."""
    if not 0 <= index < len(keys.rows):
        raise CannotOpen("the order has no such request")
    aad = keys.binding.of(_ANSWER, index, keys.rows[index])
    return _opened(_derived(keys.key, _ANSWER), open_with(keys.secret, sealed), aad)


def seal_to(public: bytes, message: bytes) -> bytes:
    """`message` for the holder of a key alone; raises Invalid(`malformed_key`) where none can hold the other half."""
    try:
        return SealedBox(PublicKey(public)).encrypt(message)
    except (CryptoError, ValueError, TypeError):
        raise Invalid(
            "nothing can be sealed to this key",
            code="malformed_key",
            field="public_key",
            accepted=f"an X25519 public key of {KEY_BYTES} bytes",
        ) from None


def open_with(secret: bytes, sealed: bytes) -> bytes:
    """The inverse of `seal_to`; raises CannotOpen."""
    try:
        return SealedBox(PrivateKey(secret)).decrypt(sealed)
    except (CryptoError, ValueError, TypeError):
        raise CannotOpen("it is not sealed to this key") from None


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(key=key, person=purpose, digest_size=Aead.KEY_SIZE).digest()


def _sealed(key: bytes, message: bytes, aad: bytes) -> bytes:
    return bytes(Aead(key).encrypt(message, aad))


def _opened(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    try:
        return Aead(key).decrypt(sealed, aad)
    except (CryptoError, ValueError):
        raise CannotOpen("it is not as its sender sealed it") from None
