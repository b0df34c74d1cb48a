"""Nodes that are an inference server of somebody else's, on the wire. What a server is shown is never among it."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Answer, Credits, Id, Number, Text, Wire
from backend.api.wire.nodes import CLASSES, Node
from backend.domain.external_nodes import CREDENTIAL_CHARS_MAX
from backend.domain.nodes import NodeSpec
from backend.services.external_nodes import Checked, ServerNode

URL_CHARS_MAX = 500


class NewServer(Wire):
    """A server to register as a node."""

    name: Text = Field(examples=["triton-1"])
    url: Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX, examples=["https://triton.example:8000"])]
    credential: Annotated[str, Field(min_length=1, max_length=CREDENTIAL_CHARS_MAX)] | None = Field(
        default=None,
        description="What it is shown as `Authorization`: a bearer token, or the header's value. Never shown again.",
        json_schema_extra={"writeOnly": True},
    )
    resource_class: Annotated[Text, Field(json_schema_extra={"enum": CLASSES})]
    region: Text = Field(examples=["eu-1"])
    slots: Number = Field(default=4, description="Requests that it serves at once.", examples=[16])
    ask: Credits | None = Field(default=None, description="Credits per slot-second, at least; without one, no offer.")
    cores: Number = 1
    memory_mb: Number = 1_024
    gpu_model: Text | None = None
    gpu_memory_mb: Number = 0
    accelerators: Number = 0
    residency: Text | None = None
    latency_ms: Number = 0
    account: Id | None = Field(default=None, description="For admins: whose node it is.")

    def spec(self) -> NodeSpec:
        """The node as the market knows it."""
        return NodeSpec(
            name=self.name,
            resource_class=self.resource_class,
            region=self.region,
            slots=self.slots,
            cores=self.cores,
            memory_mb=self.memory_mb,
            gpu_model=self.gpu_model,
            gpu_memory_mb=self.gpu_memory_mb,
            accelerators=self.accelerators,
            residency=self.residency,
            latency_ms=self.latency_ms,
        )


class Server(Answer):
    """A node, its server, and how that was found last."""

    node: Node
    url: str
    has_credential: bool
    state: str = Field(description="`new` until it was first asked, then `up` or `down`.")
    told: str | None = Field(description="Why it is down, or what is wrong with its models.")
    checked_at: datetime | None
    models: list[str] = Field(description="Registered models that it serves.", examples=[["digits 1"]])

    @classmethod
    def of(cls, found: ServerNode) -> Self:
        """The wire form of a server; for its owner and admins."""
        server = found.server
        return cls(
            node=Node.of(found.node),
            url=server.url,
            has_credential=server.credential is not None,
            state=server.state,
            told=server.told,
            checked_at=server.checked_at,
            models=list(server.models),
        )


class Fit(Answer):
    """A registered model, and why the server does not serve it; null where it does."""

    model: str
    version: int
    why_not: str | None


class ServerCheck(Answer):
    """How a server answered just now."""

    node: UUID
    url: str
    ready: bool
    why_not_ready: str | None
    models: list[Fit]

    @classmethod
    def of(cls, checked: Checked) -> Self:
        """The wire form of a check."""
        return cls(
            node=checked.node.id,
            url=checked.server.url,
            ready=checked.why_down is None,
            why_not_ready=checked.why_down,
            models=[Fit(model=fit.name, version=fit.version, why_not=fit.why_not) for fit in checked.fits],
        )
