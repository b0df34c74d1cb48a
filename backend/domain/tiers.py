"""Size tiers: what each may use, how much, how urgently, and what it is promised; a market is born with the defaults.

An admin changes them from a moment on (see `tier_changes`); what each charges is in the fee schedule.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from backend.domain.errors import unknown_choice
from backend.domain.money import NANO_PER_CREDIT

Ladder = tuple[tuple[int, int], ...]
"""(below this uptime, credit of the window's charge) in parts per million: uptimes fall, credits rise."""


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


TIERS_BY_NAME = {tier.value: tier for tier in TierName}


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
    ladder: Ladder
    rank: int  # 0 is served first


@dataclass(frozen=True, slots=True)
class TierVersion:
    """A tier as it is from a moment on."""

    version: int
    tier: Tier
    valid_from: datetime
    created_at: datetime


def fitted(ladder: Ladder, uptime_ppm: int) -> Ladder:
    """A credit ladder under a target: steps above it fall to it; of those that meet there, the largest credit stays."""
    steps: dict[int, int] = {}
    for below, credit in ladder:
        step = min(below, uptime_ppm)
        steps[step] = max(credit, steps.get(step, 0))
    return tuple(steps.items())


LADDER: Ladder = ((999_900, 100_000), (990_000, 300_000), (950_000, 1_000_000))

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
            ladder=fitted(LADDER, 990_000),
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
            ladder=fitted(LADDER, 995_000),
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
            ladder=fitted(LADDER, 999_000),
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
            ladder=fitted(LADDER, 999_900),
            rank=0,
        ),
    )
}


def parse_tier(name: str) -> TierName:
    """The tier's name that `name` is; raises Invalid(`invalid_tier`)."""
    tier = TIERS_BY_NAME.get(name)
    if tier is None:
        raise unknown_choice("tier", name, list(TIERS_BY_NAME))
    return tier


def versions_at(versions: Iterable[TierVersion], moment: datetime) -> dict[TierName, TierVersion]:
    """Each tier's version at a moment; of versions from the same moment on, the later one counts."""
    begun = sorted((v for v in versions if v.valid_from <= moment), key=lambda v: (v.valid_from, v.version))
    latest = {version.tier.name: version for version in begun}
    return {name: latest[name] for name in TierName if name in latest}


def tier_at(versions: Iterable[TierVersion], moment: datetime) -> dict[TierName, Tier]:
    """Each tier as it is at a moment."""
    return {name: version.tier for name, version in versions_at(versions, moment).items()}
