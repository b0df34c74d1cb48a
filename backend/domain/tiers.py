"""Size tiers: what each may use, how much, at which urgency and fee (defaults of the market's constitution)."""

from dataclasses import dataclass
from enum import StrEnum

from backend.domain.errors import unknown_choice
from backend.domain.money import NANO_PER_CREDIT


class ResourceClass(StrEnum):
    """Kinds of machines, from phones to dedicated servers."""

    MOBILE = "mobile"
    FOG = "fog"
    CLOUD = "cloud"
    DEDICATED = "dedicated"


class TierName(StrEnum):
    """The four sizes of customer need."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, slots=True)
class Tier:
    """Limits, preferences and targets of one tier; classes in order of preference."""

    name: TierName
    classes: tuple[ResourceClass, ...]
    slots_max: int
    request_cap_nano: int
    month_cap_nano: int
    latency_ms_p95: int
    uptime_ppm: int
    weight: int
    reserved_ppm: int
    fee_ppm: int
    rank: int  # 0 is served first


TIERS: dict[TierName, Tier] = {
    tier.name: tier
    for tier in (
        Tier(
            TierName.SMALL,
            (ResourceClass.MOBILE, ResourceClass.FOG),
            slots_max=4,
            request_cap_nano=5 * NANO_PER_CREDIT,
            month_cap_nano=100 * NANO_PER_CREDIT,
            latency_ms_p95=2_000,
            uptime_ppm=990_000,
            weight=1,
            reserved_ppm=100_000,
            fee_ppm=50_000,
            rank=3,
        ),
        Tier(
            TierName.MEDIUM,
            (ResourceClass.FOG, ResourceClass.CLOUD),
            slots_max=64,
            request_cap_nano=100 * NANO_PER_CREDIT,
            month_cap_nano=2_000 * NANO_PER_CREDIT,
            latency_ms_p95=1_000,
            uptime_ppm=995_000,
            weight=2,
            reserved_ppm=200_000,
            fee_ppm=40_000,
            rank=2,
        ),
        Tier(
            TierName.LARGE,
            (ResourceClass.CLOUD,),
            slots_max=256,
            request_cap_nano=1_000 * NANO_PER_CREDIT,
            month_cap_nano=50_000 * NANO_PER_CREDIT,
            latency_ms_p95=300,
            uptime_ppm=999_000,
            weight=4,
            reserved_ppm=300_000,
            fee_ppm=30_000,
            rank=1,
        ),
        Tier(
            TierName.ENTERPRISE,
            (ResourceClass.DEDICATED, ResourceClass.CLOUD),
            slots_max=1_024,
            request_cap_nano=10_000 * NANO_PER_CREDIT,
            month_cap_nano=1_000_000 * NANO_PER_CREDIT,
            latency_ms_p95=100,
            uptime_ppm=999_900,
            weight=8,
            reserved_ppm=400_000,
            fee_ppm=20_000,
            rank=0,
        ),
    )
}


def tier_named(name: str) -> Tier:
    """The tier of that name; raises Invalid(`invalid_tier`)."""
    try:
        return TIERS[TierName(name)]
    except ValueError:
        raise unknown_choice("tier", name, [tier.value for tier in TierName]) from None
