"""The market's fees: a share of each charge, by tier and versioned; an order pays the fee of when it was placed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.domain.errors import Invalid
from backend.domain.percent import read_percent
from backend.domain.tiers import TierName

FEE_PPM_MAX = 500_000  # half of a charge

_PERCENT_ACCEPTED = "a percentage from 0 to 50 with at most 4 decimals, as in 3.5"


@dataclass(frozen=True, slots=True)
class FeeVersion:
    """What the market keeps of a tier's charges from a moment on, in parts per million."""

    tier: TierName
    version: int
    fee_ppm: int
    valid_from: datetime
    created_at: datetime


def fee_at(versions: Iterable[FeeVersion], moment: datetime) -> dict[TierName, int]:
    """Each tier's fee at a moment, in parts per million; of versions from the same moment on, the later one counts."""
    return {tier: version.fee_ppm for tier, version in _latest(versions, moment).items()}


def check_fee(fee_ppm: int) -> int:
    """`fee_ppm` if it can be a fee; raises Invalid(`invalid_fee`)."""
    if not 0 <= fee_ppm <= FEE_PPM_MAX:
        raise Invalid(
            f"{fee_ppm} ppm is no fee", code="invalid_fee", field="fee_ppm", accepted=f"0 to {FEE_PPM_MAX} ppm"
        )
    return fee_ppm


def check_start(valid_from: datetime, now: datetime) -> datetime:
    """`valid_from` unless it is over: what was placed keeps its fee. Raises Invalid(`invalid_valid_from`)."""
    if valid_from < now:
        raise Invalid(
            f"{valid_from.isoformat()} is over",
            code="invalid_valid_from",
            field="valid_from",
            accepted="a time that is still to come, or none for from now on",
        )
    return valid_from


def parse_percent(text: str) -> int:
    """Parts per million of a decimal percentage; raises Invalid(`invalid_fee`)."""
    ppm = read_percent(text, FEE_PPM_MAX)
    if ppm is not None:
        return ppm
    raise Invalid(f"{text[:20]!r} is no fee", code="invalid_fee", field="fee", accepted=_PERCENT_ACCEPTED)


def in_force(versions: Sequence[FeeVersion], moment: datetime) -> list[FeeVersion]:
    """The versions that count at a moment, and those that are still to come."""
    latest = _latest(versions, moment)
    return [version for version in versions if version.valid_from > moment or latest.get(version.tier) == version]


def _latest(versions: Iterable[FeeVersion], moment: datetime) -> dict[TierName, FeeVersion]:
    begun = sorted((v for v in versions if v.valid_from <= moment), key=lambda v: (v.valid_from, v.version))
    return {version.tier: version for version in begun}
