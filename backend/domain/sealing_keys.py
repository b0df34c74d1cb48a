"""Keys of nodes that private orders are sealed to: which of them serve, and who has seen that they are the node's."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.errors import Conflict, Invalid, Unavailable, shown
from backend.domain.ids import AccountId, NodeId, SealingKeyId
from backend.domain.private_envelope import Envelope, check_envelope

UNVERIFIED_MAX = 8  # keys of one node that nobody verified
PRESENT_FOR = timedelta(seconds=30)  # after an agent showed that it has the key; agents show it every SHOWN_EVERY_S
SHOWN_EVERY_S = 2.0
CHALLENGE_BYTES = 32
CHALLENGE_KEPT = timedelta(minutes=10)  # to answer it
FINGERPRINT_CHARS = 32
_GROUP = 4


class KeyState(StrEnum):
    """A registered key becomes proven when its agent opens what is sealed to it, verified by an operator's word.

    Of a node's keys one is verified at most. The last two are final.
    """

    REGISTERED = "registered"
    PROVEN = "proven"
    VERIFIED = "verified"
    REPLACED = "replaced"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A node's public key, and what is known of it."""

    id: SealingKeyId
    node_id: NodeId
    node_name: str
    account_id: AccountId
    resource_class: str
    region: str
    public: bytes
    state: KeyState
    created_at: datetime
    seen_at: datetime
    proven_at: datetime | None = None
    verified_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """What people compare."""
        return fingerprint(self.public)


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key that an agent has, with its answer to the challenge that it was sent, if it was."""

    node_id: NodeId
    public: bytes
    answer: bytes | None = None


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """A node that an agent serves: the state of the key that it showed, None for none, and a challenge to answer."""

    node_id: NodeId
    state: KeyState | None
    challenge: bytes | None = None


def fingerprint(public: bytes) -> str:
    """128 bits of a public key's digest in groups, as in `8f3a-01bc-…`: short enough to be read out."""
    digest = hashlib.sha256(b"swarmex sealing key\0" + public).hexdigest()[:FINGERPRINT_CHARS]
    return "-".join(digest[start : start + _GROUP] for start in range(0, FINGERPRINT_CHARS, _GROUP))


def plain_fingerprint(text: str) -> str:
    """A fingerprint as people type it, in the form of `fingerprint`; raises Invalid(`invalid_fingerprint`)."""
    digits = re.sub(r"[\s:-]", "", text).lower()
    if not re.fullmatch(f"[0-9a-f]{{{FINGERPRINT_CHARS}}}", digits):
        raise Invalid(
            f"{shown(text)} is no fingerprint",
            code="invalid_fingerprint",
            field="fingerprint",
            accepted=f"{FINGERPRINT_CHARS} hexadecimal digits, as the node itself shows them",
        )
    return "-".join(digits[start : start + _GROUP] for start in range(0, FINGERPRINT_CHARS, _GROUP))


def check_verifiable(key: SealingKey, stated: str) -> None:
    """Raise unless an operator who was told `stated` may vouch for `key`: Conflict, or Invalid for what it is not."""
    if plain_fingerprint(stated) != key.fingerprint:
        raise Conflict(
            "this is not the fingerprint of the key that the market has: it may be another's",
            code="fingerprint_differs",
            field="fingerprint",
            accepted="the fingerprint that the node itself shows, if that is the one listed; else revoke the key",
        )
    if key.state is not KeyState.PROVEN:
        raise Conflict(
            f"the key is {key.state}",
            code="key_not_proven",
            field="key",
            accepted="a proven key: one whose agent runs, and opened what was sealed to it",
        )


def addressed(envelope: Envelope, known: Mapping[SealingKeyId, SealingKey]) -> dict[SealingKeyId, NodeId]:
    """The nodes of an envelope's recipients; raises Invalid for its form, and for keys that do not serve.

    `unknown_sealing_key` for a key that never was, Unavailable(`sealing_key_not_verified`) for one that is not, or not
    any more, verified.
    """
    check_envelope(envelope)
    nodes: dict[SealingKeyId, NodeId] = {}
    for number, recipient in enumerate(envelope.recipients):
        key, field = known.get(recipient.key_id), f"private.recipients[{number}].key"
        if key is None:
            raise Invalid("there is no such key", code="unknown_sealing_key", field=field, accepted=_LISTED)
        if key.state is not KeyState.VERIFIED:
            raise Unavailable(f"the key is {key.state}", code="sealing_key_not_verified", field=field, accepted=_LISTED)
        nodes[recipient.key_id] = key.node_id
    return nodes


_LISTED = "keys that `GET /api/v1/sealing-keys` lists"
