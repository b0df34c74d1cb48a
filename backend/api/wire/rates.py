"""Limits of keys on the wire."""

from dataclasses import asdict
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Answer, Number, Wire
from backend.domain.rates import OwnLimits
from backend.services.rates import KeyLimits as View


class NewKeyLimits(Wire):
    """Limits to set for a key, each for every face by itself; what is left out is as if it had never been set."""

    requests_per_minute: Number | None = Field(None, examples=[600])
    tokens_per_minute: Number | None = Field(None, examples=[100_000])
    in_flight: Number | None = Field(None, examples=[8])

    def limits(self) -> OwnLimits:
        """What the body asks for."""
        return OwnLimits(self.requests_per_minute, self.tokens_per_minute, self.in_flight)


class SetLimits(Answer):
    """What one side set; null where it set nothing."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    in_flight: int | None


class FaceLimits(Answer):
    """What counts on the market's API (`api`), or for real-time requests of a tier."""

    face: str
    requests_per_minute: int
    tokens_per_minute: int = Field(description="A body costs one for each 4096 bytes that it begins.")
    in_flight: int


class KeyLimits(Answer):
    """A key's limits: what counts, and what admins and the owner set beside what everybody has."""

    key_id: UUID
    faces: list[FaceLimits]
    operator: SetLimits
    owner: SetLimits

    @classmethod
    def of(cls, view: View) -> Self:
        """The wire form of a key's limits."""
        return cls(
            key_id=view.key_id,
            faces=[FaceLimits(face=face, **asdict(limits)) for face, limits in view.faces.items()],
            operator=SetLimits(**asdict(view.operator)),
            owner=SetLimits(**asdict(view.owner)),
        )
