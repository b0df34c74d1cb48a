"""The four tiers, and how they compare."""

from itertools import pairwise

import pytest

from backend.domain.money import PPM
from backend.domain.tiers import TIERS, Tier, TierName, tier_named
from tests.unit.domain.refusals import refusal

PAIRS = list(pairwise(TIERS[name] for name in TierName))


@pytest.mark.parametrize(("smaller", "larger"), PAIRS, ids=lambda tier: tier.name)
def test_a_larger_tier_may_use_more_and_is_served_sooner_faster_more_reliably_and_at_a_lower_fee(
    smaller: Tier, larger: Tier
) -> None:
    assert smaller.slots_max < larger.slots_max
    assert smaller.request_cap_nano < larger.request_cap_nano
    assert smaller.month_cap_nano < larger.month_cap_nano
    assert smaller.weight < larger.weight
    assert smaller.reserved_ppm < larger.reserved_ppm
    assert smaller.latency_ms_p95 > larger.latency_ms_p95
    assert smaller.uptime_ppm < larger.uptime_ppm
    assert smaller.fee_ppm > larger.fee_ppm
    assert smaller.rank > larger.rank


@pytest.mark.parametrize("tier", TIERS.values(), ids=lambda tier: tier.name)
def test_no_request_is_capped_above_its_month_and_no_fee_is_above_its_charge(tier: Tier) -> None:
    assert tier.request_cap_nano <= tier.month_cap_nano
    assert 0 <= tier.fee_ppm <= PPM
    assert tier.uptime_ppm <= PPM
    assert tier.classes


def test_reserved_shares_do_not_add_up_to_more_than_there_is() -> None:
    assert sum(tier.reserved_ppm for tier in TIERS.values()) <= PPM


@pytest.mark.parametrize("name", TierName)
def test_a_tier_is_found_by_its_name(name: TierName) -> None:
    assert tier_named(name.value).name is name


@pytest.mark.parametrize("name", ["", "Small", "huge", "small\n", "TierName.SMALL"])
def test_a_tier_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    error = refusal(lambda: tier_named(name))
    assert (error.code, error.field, error.accepted) == ("invalid_tier", "tier", "small, medium, large, enterprise")
