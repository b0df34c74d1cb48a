"""Distances between regions on the wire."""

from typing import Self

from pydantic import Field

from backend.api.wire.base import Answer, Number, Text, Wire
from backend.storage.regions import Link as StoredLink


class NewLink(Wire):
    """How far two regions are from one another, both ways."""

    region: Text = Field(examples=["eu-1"])
    other: Text = Field(examples=["eu-2"])
    latency_ms: Number = Field(examples=[12])


class Link(Answer):
    """Two regions and the milliseconds between them."""

    region: str
    other: str
    latency_ms: int

    @classmethod
    def of(cls, link: StoredLink) -> Self:
        """The wire form of a link."""
        return cls(region=link.region, other=link.other, latency_ms=link.latency_ms)
