"""The four tiers as a market is born with them, how they compare, and which version counts when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.money import PPM
from backend.domain.tiers import (
    LADDER,
    TIERS,
    ResourceClass,
    Tier,
    TierName,
    TierVersion,
    fitted,
    parse_tier,
    tier_at,
    versions_at,
)
from tests.unit.domain.refusals import refusal

PAIRS = list(pairwise(TIERS[name] for name in TierName))
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SMALL, LARGE = TIERS[TierName.SMALL], TIERS[TierName.LARGE]


@pytest.mark.parametrize(("smaller", "larger"), PAIRS, ids=lambda tier: tier.name)
def test_a_larger_tier_may_use_more_and_is_served_sooner_faster_and_more_reliably(smaller: Tier, larger: Tier) -> None:
    assert smaller.slots_max < larger.slots_max
    assert smaller.request_cap_nano < larger.request_cap_nano
    assert smaller.month_cap_nano < larger.month_cap_nano
    assert smaller.weight < larger.weight
    assert smaller.reserved_ppm < larger.reserved_ppm
    assert smaller.latency_ms_p95 > larger.latency_ms_p95
    assert smaller.uptime_ppm < larger.uptime_ppm
    assert smaller.rank > larger.rank


def test_enterprise_is_served_first_and_prefers_dedicated_nodes() -> None:
    enterprise = TIERS[TierName.ENTERPRISE]
    assert (enterprise.rank, enterprise.classes[0]) == (0, ResourceClass.DEDICATED)


def test_a_missed_uptime_is_credited_by_steps_that_no_tiers_target_is_below() -> None:
    rest = ((990_000, 300_000), (950_000, 1_000_000))
    assert {name: tier.ladder for name, tier in TIERS.items()} == {
        TierName.SMALL: rest,
        TierName.MEDIUM: ((995_000, 100_000), *rest),
        TierName.LARGE: ((999_000, 100_000), *rest),
        TierName.ENTERPRISE: ((999_900, 100_000), *rest),
    }


@given(st.integers(1, PPM))
def test_a_ladder_under_any_target_keeps_its_largest_credit_and_its_order(uptime_ppm: int) -> None:
    ladder = fitted(LADDER, uptime_ppm)
    assert ladder[0][0] <= uptime_ppm
    assert ladder[-1][1] == LADDER[-1][1]
    assert all(a[0] > b[0] and a[1] < b[1] for a, b in pairwise(ladder))
    assert fitted(LADDER, PPM) == LADDER


@pytest.mark.parametrize("name", TierName)
def test_a_tier_is_known_by_its_name(name: TierName) -> None:
    assert parse_tier(name.value) is name


@pytest.mark.parametrize("name", ["", "Small", "huge", "small\n", "TierName.SMALL"])
def test_a_tier_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    error = refusal(lambda: parse_tier(name))
    assert (error.code, error.field, error.accepted) == ("invalid_tier", "tier", "small, medium, large, enterprise")


FIRST = TierVersion(1, SMALL, NOON, NOON)
SECOND = TierVersion(2, replace(SMALL, slots_max=5), NOON + HOUR, NOON)
SAME_TIME = TierVersion(3, replace(SMALL, slots_max=6), NOON + HOUR, NOON)
OTHER = TierVersion(1, LARGE, NOON, NOON)
ALL = [OTHER, FIRST, SECOND, SAME_TIME]


@pytest.mark.parametrize(
    ("moment", "version"),
    [
        (NOON, FIRST),
        (NOON + HOUR - timedelta(microseconds=1), FIRST),
        (NOON + HOUR, SAME_TIME),
        (NOON + 2 * HOUR, SAME_TIME),
    ],
)
def test_a_tier_at_a_moment_is_its_latest_version_that_has_begun(moment: datetime, version: TierVersion) -> None:
    for versions in (ALL, ALL[::-1]):
        assert versions_at(versions, moment) == {"small": version, "large": OTHER}
        assert list(versions_at(versions, moment)) == [TierName.SMALL, TierName.LARGE]
        assert tier_at(versions, moment) == {"small": version.tier, "large": LARGE}
    assert tier_at(ALL, NOON - HOUR) == {}
