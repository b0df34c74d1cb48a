"""Tiers on the wire."""

from datetime import datetime
from typing import Self

from pydantic import Field

from backend.api.wire.base import Amount, Answer, Credits, Number, Text, Wire
from backend.api.wire.ledger import Moment
from backend.domain.money import format_credits
from backend.domain.tier_changes import TierChanges
from backend.domain.tiers import TierVersion


class LadderStep(Wire):
    """Below this uptime a window's charge is credited by so much, both in parts per million."""

    below_uptime_ppm: Number
    credit_ppm: Number


class NewTier(Wire):
    """What is to be different about a tier from a moment on; what is left out stays as it is."""

    classes: list[Text] | None = Field(None, description="The preferred one first.", examples=[["mobile", "fog"]])
    slots_max: Number | None = Field(None, description="Slots of an order.")
    request_cap: Credits | None = None
    month_cap: Credits | None = None
    latency_ms_p95: Number | None = None
    uptime_ppm: Number | None = None
    weight: Number | None = None
    reserved_ppm: Number | None = Field(None, description="Of each market's slots; all tiers at most 1000000.")
    ladder: list[LadderStep] | None = Field(None, description="Credits for missed uptime, the mildest first.")
    valid_from: Moment | None = None

    def changes(self) -> TierChanges:
        """What the body asks for."""
        ladder = self.ladder
        return TierChanges(
            classes=None if self.classes is None else tuple(self.classes),
            slots_max=self.slots_max,
            request_cap_nano=self.request_cap,
            month_cap_nano=self.month_cap,
            latency_ms_p95=self.latency_ms_p95,
            uptime_ppm=self.uptime_ppm,
            weight=self.weight,
            reserved_ppm=self.reserved_ppm,
            ladder=None if ladder is None else tuple((step.below_uptime_ppm, step.credit_ppm) for step in ladder),
        )


class TierSettings(Answer):
    """A version of a tier; of those whose time has come, the latest counts for new orders."""

    tier: str
    version: int
    classes: list[str]
    slots_max: int
    request_cap: Amount
    month_cap: Amount
    latency_ms_p95: int
    uptime_ppm: int
    weight: int
    reserved_ppm: int
    ladder: list[LadderStep]
    rank: int
    valid_from: datetime
    created_at: datetime

    @classmethod
    def of(cls, version: TierVersion) -> Self:
        """The wire form of a version."""
        tier = version.tier
        return cls(
            tier=tier.name,
            version=version.version,
            classes=list(tier.classes),
            slots_max=tier.slots_max,
            request_cap=format_credits(tier.request_cap_nano),
            month_cap=format_credits(tier.month_cap_nano),
            latency_ms_p95=tier.latency_ms_p95,
            uptime_ppm=tier.uptime_ppm,
            weight=tier.weight,
            reserved_ppm=tier.reserved_ppm,
            ladder=[LadderStep(below_uptime_ppm=below, credit_ppm=credit) for below, credit in tier.ladder],
            rank=tier.rank,
            valid_from=version.valid_from,
            created_at=version.created_at,
        )


class CurrentTier(TierSettings):
    """A tier as it is now, with what the market keeps of its charges."""

    fee_ppm: int = Field(description="In parts per million of each charge; GET /api/v1/fees has what is to come.")

    @classmethod
    def now(cls, version: TierVersion, fee_ppm: int) -> Self:
        """The wire form of a version with the tier's fee."""
        return cls(**TierSettings.of(version).model_dump(), fee_ppm=fee_ppm)
