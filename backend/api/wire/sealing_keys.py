"""Keys of nodes on the wire: those that a private order can be sealed to, and what a node shows of its own."""

import base64
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Answer
from backend.api.wire.node_work import FromAgent
from backend.api.wire.private import Sealed
from backend.domain import sealing_keys
from backend.domain.private_envelope import RECIPIENTS_MAX
from backend.services import sealing_keys as service


class SealingKey(Answer):
    """A verified key: an operator compared its fingerprint with what its node's owner told."""

    id: UUID
    node: UUID
    node_name: str
    resource_class: str
    region: str
    public_key: str = Field(description="X25519, 32 bytes in base64.", json_schema_extra={"format": "byte"})
    fingerprint: str = Field(examples=["8f3a-01bc-77d2-9e10-5b6c-aa31-0f4e-c2d8"])
    verified_at: datetime | None

    @classmethod
    def of(cls, key: sealing_keys.SealingKey) -> Self:
        """The wire form of a key."""
        return cls(
            id=key.id,
            node=key.node_id,
            node_name=key.node_name,
            resource_class=key.resource_class,
            region=key.region,
            public_key=base64.b64encode(key.public).decode(),
            fingerprint=key.fingerprint,
            verified_at=key.verified_at,
        )


class SealingKeys(Answer):
    """What a private order for a model can be sealed to, and the model as it must be bound to."""

    model: str
    model_version: int
    checksum: str = Field(description="SHA-256 of the model's file, in hexadecimal.")
    recipients_max: int
    keys: list[SealingKey]

    @classmethod
    def of(cls, found: service.Serving) -> Self:
        """The wire form of what was found."""
        return cls(
            model=found.model.name,
            model_version=found.model.version,
            checksum=found.model.checksum,
            recipients_max=RECIPIENTS_MAX,
            keys=[SealingKey.of(key) for key in found.keys],
        )


class ShownKey(FromAgent):
    """The public half of an agent's key, and what its challenge said once it was opened."""

    public_key: Sealed | None = None
    answer: Sealed | None = None


class KeyStanding(Answer):
    """What the market knows of the key; None where none was shown. `challenge` is sealed to it."""

    node: UUID
    state: str | None
    challenge: str | None = Field(json_schema_extra={"format": "byte"})

    @classmethod
    def of(cls, standing: sealing_keys.KeyStanding) -> Self:
        """The wire form of a standing."""
        challenge = None if standing.challenge is None else base64.b64encode(standing.challenge).decode()
        return cls(node=standing.node_id, state=standing.state, challenge=challenge)
