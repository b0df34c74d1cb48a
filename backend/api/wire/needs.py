"""What an order needs of its nodes, on the wire."""

from typing import Annotated

from pydantic import Field

from backend.api.wire.base import Id, Number, Text, Wire
from backend.domain import machines
from backend.domain.machines import stated_needs

Jurisdictions = Annotated[list[Text], Field(examples=[["de", "fr"]])]
NodeIds = Annotated[list[Id], Field(examples=[["0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"]])]


class Needs(Wire):
    """What each node that serves an order must have. Nothing of it is traded for a price; what is left out is free."""

    cores: Number | None = Field(default=None, description="Processor cores, at least.", examples=[8])
    memory_mb: Number | None = Field(default=None, description="MiB of memory, at least.", examples=[32_768])
    gpu_model: Text | None = Field(default=None, description="Exactly this one.", examples=["a100"])
    gpu_memory_mb: Number | None = Field(
        default=None, description="MiB of memory of each accelerator, at least.", examples=[16_384]
    )
    accelerators: Number | None = Field(default=None, description="How many, at least.", examples=[2])
    residency: Jurisdictions | None = Field(default=None, description="Jurisdictions that the data may stay in.")
    latency_ms_max: Number | None = Field(
        default=None, description="Milliseconds to the users of its region, at most.", examples=[20]
    )
    trust_min_ppm: Number | None = Field(
        default=None, description="Trust in parts per million, at least.", examples=[800_000]
    )
    dedicated: bool | None = Field(
        default=None, description="Idle nodes only, each whole: slots must be at least those of one."
    )
    spread: bool | None = Field(default=None, description="One slot of a node: every slot on a node of its own.")
    only: NodeIds | None = Field(default=None, description="Only these nodes.")
    never: NodeIds | None = Field(default=None, description="None of these nodes.")

    def needs(self) -> machines.Needs:
        """The needs as the market knows them; raises Invalid with `needs.<field>`."""
        return stated_needs(self.model_dump())
