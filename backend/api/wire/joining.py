"""Join tokens, and a machine that joins with one, on the wire."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Answer, Id, Number, Text, Wire
from backend.api.wire.node_work import Version
from backend.api.wire.nodes import CLASSES, Node
from backend.domain.joining import TOKEN_LIFE, Hardware, TokenWish
from backend.domain.nodes import NodeSpec
from backend.services.joining import Joined, NewToken
from backend.storage.joining import JoinToken as StoredToken

SECRET_CHARS_MAX = 200


class NewJoinToken(Wire):
    """What a machine that joins may become."""

    resource_class: Annotated[Text, Field(json_schema_extra={"enum": CLASSES})]
    region: Text = Field(examples=["eu-1"])
    slots_max: Number = Field(default=1, description="The machine has at most so many slots.", examples=[4])
    name: Text | None = Field(default=None, description="Its name; without one, the machine brings its own.")
    expires_s: Number = Field(default=int(TOKEN_LIFE.total_seconds()), description="Seconds in which it can be used.")
    account: Id | None = Field(default=None, description="For admins: whose node it will be.")

    def wish(self) -> TokenWish:
        """The token as the market knows it."""
        life = timedelta(seconds=self.expires_s)
        return TokenWish(self.resource_class, self.region, self.slots_max, self.name, life)


class NewNodeToken(Wire):
    """How long a token for a node that is there already can be used."""

    expires_s: Number = Field(default=int(TOKEN_LIFE.total_seconds()), description="Seconds in which it can be used.")

    @property
    def life(self) -> timedelta:
        """The same as a span of time."""
        return timedelta(seconds=self.expires_s)


class JoinToken(Answer):
    """A token that can still be used, without its secret."""

    id: UUID
    account: UUID
    resource_class: str
    region: str
    slots_max: int
    name: str | None
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, token: StoredToken) -> Self:
        """The wire form of a token."""
        return cls(
            id=token.id,
            account=token.account_id,
            resource_class=token.resource_class,
            region=token.region,
            slots_max=token.slots_max,
            name=token.name,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )


class CreatedJoinToken(JoinToken):
    """A new token; its secret is in this answer and nowhere else."""

    secret: str

    @classmethod
    def made(cls, made: NewToken) -> Self:
        """The wire form of a new token."""
        return cls(**JoinToken.of(made.token).model_dump(), secret=made.secret)


class MachineHardware(Wire):
    """What was found on a machine; memory in MiB."""

    version: Version
    cores: Number = 1
    memory_mb: Number = 1_024
    gpu_model: Text | None = None
    gpu_memory_mb: Number = 0
    accelerators: Number = 0

    def hardware(self) -> Hardware:
        """The same as the market knows it."""
        return Hardware(self.cores, self.memory_mb, self.gpu_model, self.gpu_memory_mb, self.accelerators)


class JoinRequest(MachineHardware):
    """A machine with its token and what was found on it."""

    token: Annotated[str, Field(min_length=1, max_length=SECRET_CHARS_MAX)]
    name: Text = Field(examples=["attic"])
    slots: Number = 1
    residency: Text | None = None
    latency_ms: Number = 0

    def machine(self) -> NodeSpec:
        """The machine; its class and region are the token's to say."""
        return NodeSpec(
            name=self.name,
            resource_class="",
            region="",
            slots=self.slots,
            residency=self.residency,
            latency_ms=self.latency_ms,
            **asdict(self.hardware()),
        )


class JoinedNode(Answer):
    """The node that the machine has become, and the key that it shows from now on."""

    protocol: Literal[1] = 1
    node: Node
    key_id: UUID
    key: str = Field(description="Shown this once and kept nowhere.")

    @classmethod
    def of(cls, joined: Joined) -> Self:
        """The wire form of a node that has just joined."""
        return cls(node=Node.of(joined.node), key_id=joined.key_id, key=joined.secret)


class RevokedKeys(Answer):
    """How many keys of a node open nothing any more."""

    revoked: int
