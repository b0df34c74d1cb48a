"""Nodes and offers on the wire."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer, Credits, Id, Number, Text, Wire
from backend.domain.money import format_credits
from backend.domain.nodes import NodeSpec
from backend.domain.tiers import ResourceClass
from backend.services.nodes import OfferView
from backend.storage.nodes import Node as StoredNode

CLASSES = [resource_class.value for resource_class in ResourceClass]


class NewNode(Wire):
    """A machine to register; `pool` names a queue that several nodes share."""

    name: Text = Field(examples=["rack-1"])
    resource_class: Annotated[Text, Field(json_schema_extra={"enum": CLASSES})]
    region: Text = Field(examples=["eu-1"])
    slots: Number = Field(examples=[4])
    pool: Text | None = None
    cores: Number = Field(default=1, description="Processor cores.", examples=[16])
    memory_mb: Number = Field(default=1_024, description="MiB of memory.", examples=[65_536])
    gpu_model: Text | None = Field(default=None, description="Needs accelerators as well.", examples=["a100"])
    gpu_memory_mb: Number = Field(default=0, description="MiB of memory of each accelerator.", examples=[81_920])
    accelerators: Number = Field(default=0, examples=[2])
    residency: Text | None = Field(default=None, description="Jurisdiction that data stays in.", examples=["de"])
    latency_ms: Number = Field(default=0, description="Milliseconds to the users of its region.", examples=[5])
    account: Id | None = Field(default=None, description="For admins: whose node it is.")

    def spec(self) -> NodeSpec:
        """The node as the market knows it."""
        return NodeSpec(
            name=self.name,
            resource_class=self.resource_class,
            region=self.region,
            slots=self.slots,
            pool=self.pool,
            cores=self.cores,
            memory_mb=self.memory_mb,
            gpu_model=self.gpu_model,
            gpu_memory_mb=self.gpu_memory_mb,
            accelerators=self.accelerators,
            residency=self.residency,
            latency_ms=self.latency_ms,
        )


class Node(Answer):
    """A machine on the market; `alive` while an agent serves its queue, `ask` while it has an open offer."""

    id: UUID
    account: UUID
    name: str
    resource_class: str
    region: str
    slots: int
    busy_slots: int
    state: str
    queue: str
    alive: bool
    ask: Amount | None
    cores: int
    memory_mb: int
    gpu_model: str | None
    gpu_memory_mb: int
    accelerators: int
    residency: str | None
    latency_ms: int
    trust_ppm: int = Field(description="What matching counts on, in parts per million.")

    @classmethod
    def of(cls, node: StoredNode) -> Self:
        """The wire form of a node; for its owner and admins, since asks are sealed."""
        return cls(
            id=node.id,
            account=node.account_id,
            name=node.name,
            resource_class=node.resource_class,
            region=node.region,
            slots=node.slots,
            busy_slots=node.busy_slots,
            state=node.state,
            queue=node.queue,
            alive=node.alive,
            ask=None if node.ask_nano_per_slot_s is None else format_credits(node.ask_nano_per_slot_s),
            cores=node.cores,
            memory_mb=node.memory_mb,
            gpu_model=node.gpu_model,
            gpu_memory_mb=node.gpu_memory_mb,
            accelerators=node.accelerators,
            residency=node.residency,
            latency_ms=node.latency_ms,
            trust_ppm=node.trust_ppm,
        )


class NewOffer(Wire):
    """A price for the slots of a node; it replaces the node's open offer."""

    node: Id
    ask: Credits = Field(description="Credits per slot-second, at least.")


class Offer(Answer):
    """An open offer."""

    id: UUID
    node: UUID
    version: int
    ask: Amount

    @classmethod
    def of(cls, view: OfferView) -> Self:
        """The wire form of an offer."""
        return cls(
            id=view.offer_id,
            node=view.node_id,
            version=view.version,
            ask=format_credits(view.ask_nano_per_slot_s),
        )
