"""Rounds of training jobs on the wire: who took part, what came of them, what they cost."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer
from backend.domain.federated.states import ParticipantState, RoundState
from backend.domain.federated.tasks import WeightsRef
from backend.domain.money import format_credits
from backend.services import training_jobs as service
from backend.storage.training_participants import Standing


class Counts(Answer):
    """How many of a round's participants are in each state."""

    asked: int
    reported: int
    accepted: int
    rejected: int
    dropped: int
    late: int

    @classmethod
    def of(cls, counts: Mapping[ParticipantState, int]) -> Self:
        """The wire form of counts."""
        return cls(**{state.value: counts.get(state, 0) for state in ParticipantState})


class OpenRound(Counts):
    """The same of a round that is under way, and how many it is to have."""

    wanted: int

    @classmethod
    def begun(cls, counts: Mapping[ParticipantState, int], wanted: int) -> Self:
        """The wire form of a round under way."""
        return cls(wanted=wanted, **Counts.of(counts).model_dump())


class Weights(Answer):
    """A file of weights that can be downloaded, and after which round it is; 0: the initial ones."""

    round: int
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, round_: int, ref: WeightsRef) -> Self:
        """The wire form of a checkpoint."""
        return cls(round=round_, sha256=ref.sha256, size_bytes=ref.size_bytes)


class Round(Answer):
    """One attempt at a round: who took part, what came of it, and what it cost."""

    number: int
    attempt: int
    state: Annotated[str, Field(json_schema_extra={"enum": list(RoundState)})]
    wanted: int = Field(description="Participants that were to take part.")
    participants: Counts
    metrics: dict[str, float] = Field(description="Of the weights after it.")
    epsilon: float | None = Field(description="The privacy spent up to then.")
    weights: Weights | None
    charged: Amount
    started_at: datetime
    deadline_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, view: service.RoundView) -> Self:
        """The wire form of a round."""
        round_ = view.round
        return cls(
            number=round_.number,
            attempt=round_.attempt,
            state=round_.state,
            wanted=round_.wanted,
            participants=Counts.of(view.counts),
            metrics=dict(round_.metrics or {}),
            epsilon=round_.epsilon,
            weights=Weights.of(round_.number, round_.weights) if round_.weights else None,
            charged=format_credits(view.charged_nano),
            started_at=round_.started_at,
            deadline_at=round_.deadline_at,
            ended_at=round_.ended_at,
        )


class RoundList(Answer):
    """The rounds of a job in order, those that failed as well."""

    rounds: list[Round]

    @classmethod
    def of(cls, views: Sequence[service.RoundView]) -> Self:
        """The wire form of rounds."""
        return cls(rounds=[Round.of(view) for view in views])


class Participant(Answer):
    """A node in a round; `reason` says why its update was not taken, or never came."""

    node: UUID
    node_name: str
    order: UUID
    state: Annotated[str, Field(json_schema_extra={"enum": list(ParticipantState)})]
    reason: str | None
    examples: int | None = Field(description="How many examples its update is of, as it says.")
    update_sha256: str | None
    metrics: dict[str, float] = Field(description="What its trainer measured on its own data, as it says.")
    charged: Amount
    asked_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, standing: Standing) -> Self:
        """The wire form of a participant."""
        one = standing.participant
        return cls(
            node=one.node_id,
            node_name=standing.node_name,
            order=one.order_id,
            state=one.state,
            reason=one.reason,
            examples=one.examples,
            update_sha256=one.update_sha256,
            metrics=dict(one.metrics or {}),
            charged=format_credits(standing.charged_nano),
            asked_at=one.asked_at,
            ended_at=one.ended_at,
        )


class ParticipantList(Answer):
    """The participants of a round, in the order in which they were asked."""

    participants: list[Participant]

    @classmethod
    def of(cls, standings: Sequence[Standing]) -> Self:
        """The wire form of participants."""
        return cls(participants=[Participant.of(one) for one in standings])
