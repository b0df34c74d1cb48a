"""The fee schedule on the wire."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from backend.api.wire.base import Answer, Number, Text, Wire
from backend.api.wire.ledger import Moment
from backend.domain.fees import FEE_PPM_MAX, FeeVersion
from backend.domain.tiers import TierName


class NewFee(Wire):
    """A tier's fee from a moment on; without one, from now on."""

    tier: Annotated[Text, Field(json_schema_extra={"enum": [tier.value for tier in TierName]})]
    fee_ppm: Number = Field(description=f"Millionths of a charge, 0 to {FEE_PPM_MAX}.", examples=[35_000])
    valid_from: Moment | None = None


class Fee(Answer):
    """A version of a tier's fee; of those whose time has come, the latest counts for new orders."""

    tier: str
    version: int
    fee_ppm: int
    valid_from: datetime
    created_at: datetime

    @classmethod
    def of(cls, version: FeeVersion) -> Self:
        """The wire form of a version."""
        return cls(
            tier=version.tier,
            version=version.version,
            fee_ppm=version.fee_ppm,
            valid_from=version.valid_from,
            created_at=version.created_at,
        )
