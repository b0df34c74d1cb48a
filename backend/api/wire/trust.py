"""Trust on the wire: a score for everybody, and why it is so for whoever owns the node."""

from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Answer
from backend.domain.trust import Evidence, Explanation, Part
from backend.services.trust import TrustView


class TrustPart(Answer):
    """One kind of evidence of one buyer, who is only a number here; without one it is the market's own.

    `weight` is what it is worth by now, `counted` what the cap on one buyer leaves of it; without it the score would be
    `effect_ppm` less.
    """

    kind: Evidence
    buyer: int | None = Field(examples=[1])
    count: int
    weight: float
    counted: float
    effect_ppm: int

    @classmethod
    def of(cls, part: Part) -> Self:
        """The wire form of a part."""
        return cls(
            kind=part.kind,
            buyer=part.buyer,
            count=part.count,
            weight=round(part.weight, 3),
            counted=round(part.counted, 3),
            effect_ppm=part.effect_ppm,
        )


class TrustExplanation(Answer):
    """A score computed at this moment, its parts, the score of a day ago, and the evidence that came since."""

    score_ppm: int
    parts: list[TrustPart]
    before_ppm: int
    lately: list[TrustPart]

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        """The wire form of an explanation."""
        return cls(
            score_ppm=explanation.score_ppm,
            parts=[TrustPart.of(part) for part in explanation.parts],
            before_ppm=explanation.before_ppm,
            lately=[TrustPart.of(part) for part in explanation.lately],
        )


class Trust(Answer):
    """The share of good service, in parts per million, that a node beats with 95% confidence; matching counts on it."""

    node: UUID
    name: str
    trust_ppm: int = Field(examples=[930_000])
    explanation: TrustExplanation | None = Field(description="For the node's owner and admins.")

    @classmethod
    def of(cls, view: TrustView) -> Self:
        """The wire form of a score."""
        return cls(
            node=view.standing.node_id,
            name=view.standing.name,
            trust_ppm=view.standing.trust_ppm,
            explanation=TrustExplanation.of(view.explanation) if view.explanation else None,
        )
