"""The messages between a remote node and the coordinator: JSON, with inputs and outputs in base64."""

import base64
import binascii
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from backend.api.wire.base import Answer, Credits, Id, Text, Wire
from backend.domain.ids import AgentId, ItemId
from backend.domain.joining import MESSAGE_BYTES_MAX, MESSAGE_ITEMS_MAX, POLL_S_MAX, PROTOCOL
from backend.domain.mail import LETTERS_MAX
from backend.domain.work import (
    ERROR_CHARS_MAX,
    PAYLOAD_BYTES_MAX,
    AgentBeat,
    ClaimedItem,
    ItemFailure,
    ItemResult,
    ModelRef,
)

PID_MAX = 2**31 - 1
FENCE_MAX = 2**63 - 1


def _known(version: int) -> int:
    if version != PROTOCOL:
        raise PydanticCustomError(
            "swarmex:unknown_version", "this version is not spoken here", {"accepted": str(PROTOCOL)}
        )
    return version


def _decoded(value: object) -> bytes:
    if not isinstance(value, str):
        raise PydanticCustomError("swarmex:corrupt_payload", "this is not base64", {"accepted": "a base64 string"})
    if len(value) > -(-PAYLOAD_BYTES_MAX // 3) * 4:
        raise PydanticCustomError(
            "swarmex:too_large", "this payload is too large", {"accepted": f"at most {PAYLOAD_BYTES_MAX} bytes"}
        )
    try:
        decoded = base64.b64decode(value, validate=True)
        decoded.decode()
    except (binascii.Error, ValueError):
        raise PydanticCustomError(
            "swarmex:corrupt_payload", "this is not base64 of UTF-8", {"accepted": "a base64 string of JSON"}
        ) from None
    return decoded


Version = Annotated[
    int, AfterValidator(_known), Field(description=f"Of the messages: {PROTOCOL}.", examples=[PROTOCOL])
]
Payload = Annotated[bytes, BeforeValidator(_decoded), WithJsonSchema({"type": "string", "format": "byte"})]
Fence = Annotated[int, Field(ge=0, le=FENCE_MAX)]
Count = Annotated[int, Field(ge=0, le=FENCE_MAX)]


class Beat(Wire):
    """A sign of life of one agent of the node."""

    version: Version
    agent: Id
    name: Text
    host: Text
    pid: Annotated[int, Field(ge=0, le=PID_MAX)]
    work_done: Count = 0
    work_waiting: bool = False
    tick_age_ms: Count | None = None

    def sign(self) -> AgentBeat:
        """The sign of life as the market knows it; the queue is the node's, whatever the agent thinks."""
        return AgentBeat(
            AgentId(self.agent),
            "inference",
            self.name,
            self.host,
            self.pid,
            work_done=self.work_done,
            work_waiting=self.work_waiting,
            tick_age_ms=self.tick_age_ms,
        )


class BeatReply(Answer):
    """Whether the agent should finish and leave."""

    drain: bool


class FromAgent(Wire):
    """A message of one agent about itself."""

    version: Version
    agent: Id


class Poll(FromAgent):
    """A question for work, answered when there is some or after `wait_s`."""

    wait_s: Annotated[float, Field(ge=0, le=POLL_S_MAX, strict=False)] = POLL_S_MAX


class RequestPoll(Poll):
    """A question for real-time requests, at most as many as the agent has places for."""

    places: Annotated[int, Field(ge=1, le=LETTERS_MAX)] = LETTERS_MAX


class Answered(Answer):
    """How many of the answers somebody waited for."""

    answered: int


class Units(Answer):
    """Units to claim, the most urgent first; perhaps none."""

    units: list[UUID]


class Claim(FromAgent):
    """A claim on what is left of a unit."""

    unit: Id


class WorkModel(Answer):
    """A registered model as a node needs it; its file is at `/models/{id}/file`."""

    id: UUID
    name: str
    version: int
    checksum: str
    size_bytes: int | None = None
    signature: dict[str, Any]

    @classmethod
    def of(cls, ref: ModelRef, size_bytes: int | None = None) -> Self:
        """The wire form of a model, with the size of its file where it is known."""
        return cls(
            id=ref.model_id,
            name=ref.name,
            version=ref.version,
            checksum=ref.checksum,
            size_bytes=size_bytes,
            signature=ref.signature.to_wire(),
        )


class WorkItem(Answer):
    """A claimed item; `fence` must come back with the result."""

    id: UUID
    fence: int
    attempt: int
    node: UUID
    rows: int
    model: UUID
    inputs: str = Field(json_schema_extra={"format": "byte"})


class Claimed(Answer):
    """Claimed items and the models that they want, each once."""

    items: list[WorkItem]
    models: list[WorkModel]

    @classmethod
    def of(cls, claimed: list[ClaimedItem]) -> Self:
        """The wire form of a claim."""
        models = {item.model.model_id: item.model for item in claimed}
        return cls(
            items=[
                WorkItem(
                    id=item.item_id,
                    fence=item.fence,
                    attempt=item.attempt,
                    node=item.node_id,
                    rows=item.rows,
                    model=item.model.model_id,
                    inputs=base64.b64encode(item.inputs).decode(),
                )
                for item in claimed
            ],
            models=[WorkModel.of(ref) for ref in models.values()],
        )


class HeldItem(Wire):
    """An item in hand."""

    item: Id
    fence: Fence


class Extend(FromAgent):
    """Items to keep."""

    held: Annotated[list[HeldItem], Field(max_length=MESSAGE_ITEMS_MAX)]


class Result(HeldItem):
    """An item that ran; `busy_us` is the time in the engine."""

    busy_us: Annotated[int, Field(ge=0, le=FENCE_MAX)]
    outputs: Payload


def _carried(results: list[Result]) -> list[Result]:
    if sum(len(result.outputs) for result in results) > MESSAGE_BYTES_MAX:
        raise PydanticCustomError(
            "swarmex:too_large", "these outputs are too large", {"accepted": f"at most {MESSAGE_BYTES_MAX} bytes"}
        )
    return results


class Commit(FromAgent):
    """Results."""

    results: Annotated[list[Result], Field(max_length=MESSAGE_ITEMS_MAX), AfterValidator(_carried)]

    def told(self) -> list[ItemResult]:
        """The results as the market knows them."""
        return [ItemResult(ItemId(r.item), r.fence, r.busy_us, r.outputs) for r in self.results]


class Failure(HeldItem):
    """An item that did not run."""

    error: Annotated[str, Field(max_length=ERROR_CHARS_MAX, pattern=r"^[^\x00]*$")]


class Fail(FromAgent):
    """Failures."""

    failures: Annotated[list[Failure], Field(max_length=MESSAGE_ITEMS_MAX)]

    def told(self) -> list[ItemFailure]:
        """The failures as the market knows them."""
        return [ItemFailure(ItemId(f.item), f.fence, f.error) for f in self.failures]


class Counted(Answer):
    """The items that counted: a stale fence is void, and so is an item of another node."""

    items: list[UUID]


class NodeOffer(Wire):
    """What the node asks for its slots."""

    version: Version
    ask: Credits
