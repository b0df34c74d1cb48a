"""Rules of a market: what an admin may set, and what is refused."""

import pytest

from backend.domain.errors import Invalid
from backend.domain.market_rules import (
    FLOOR_NANO_MIN,
    TARGET_PPM_MAX,
    TARGET_PPM_MIN,
    MarketRule,
    RuleChange,
    changed,
    check_market,
    read_market,
)
from backend.domain.pricing import CAP_NANO, Control, Market, Supply, next_spot

RULE = MarketRule(Market("fog", "north"), "uniform", Control(1_000, 2_000, 700_000))


@pytest.mark.parametrize(
    ("change", "mechanism", "control"),
    [
        (RuleChange(mechanism="mcafee"), "mcafee", Control(1_000, 2_000, 700_000)),
        (RuleChange(floor_nano=FLOOR_NANO_MIN), "uniform", Control(FLOOR_NANO_MIN, 2_000, 700_000)),
        (RuleChange(floor_nano=2_000), "uniform", Control(2_000, 2_000, 700_000)),
        (RuleChange(cap_nano=CAP_NANO), "uniform", Control(1_000, CAP_NANO, 700_000)),
        (RuleChange(target_ppm=TARGET_PPM_MIN), "uniform", Control(1_000, 2_000, TARGET_PPM_MIN)),
        (RuleChange(target_ppm=TARGET_PPM_MAX), "uniform", Control(1_000, 2_000, TARGET_PPM_MAX)),
        (RuleChange("mcafee", 5_000, 9_000, 10_000), "mcafee", Control(5_000, 9_000, 10_000)),
    ],
)
def test_what_is_named_changes_and_the_rest_stays(change: RuleChange, mechanism: str, control: Control) -> None:
    assert changed(RULE, change) == MarketRule(RULE.market, mechanism, control, own=True)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        (RuleChange(), "nothing_to_change", "mechanism"),
        (RuleChange(mechanism="lottery"), "invalid_mechanism", "mechanism"),
        (RuleChange(floor_nano=FLOOR_NANO_MIN - 1), "invalid_floor", "floor"),
        (RuleChange(floor_nano=CAP_NANO + 1), "invalid_floor", "floor"),
        (RuleChange(floor_nano=2_001), "invalid_cap", "cap"),
        (RuleChange(cap_nano=999), "invalid_cap", "cap"),
        (RuleChange(cap_nano=CAP_NANO + 1), "invalid_cap", "cap"),
        (RuleChange(target_ppm=TARGET_PPM_MIN - 1), "invalid_target", "target_ppm"),
        (RuleChange(target_ppm=TARGET_PPM_MAX + 1), "invalid_target", "target_ppm"),
    ],
)
def test_rules_that_cannot_be_are_refused_with_the_field_at_fault(change: RuleChange, code: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        changed(RULE, change)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.accepted


def test_a_price_at_the_lowest_floor_can_still_rise() -> None:
    lowest = Control(floor_nano=FLOOR_NANO_MIN)
    assert next_spot(FLOOR_NANO_MIN, Supply(1, 1, None), lowest) > FLOOR_NANO_MIN
    assert next_spot(FLOOR_NANO_MIN - 1, Supply(1, 1, None), Control(floor_nano=1)) == FLOOR_NANO_MIN - 1


@pytest.mark.parametrize("text", ["", "/", "cloud", "cloud/", "/north", "x" * 500])
def test_what_does_not_name_class_and_region_is_told_how_markets_are_named(text: str) -> None:
    assert read_market("fog/north") == Market("fog", "north")
    with pytest.raises(Invalid) as refused:
        read_market(text)
    assert (refused.value.code, refused.value.field) == ("invalid_market", "market")
    assert str(refused.value.accepted).startswith("CLASS/REGION, as in cloud/north")
    assert len(refused.value.message) < 100


@pytest.mark.parametrize(
    ("resource_class", "region", "code"),
    [("mainframe", "north", "invalid_resource_class"), ("fog", "The Moon", "invalid_region")],
)
def test_a_market_that_cannot_be_has_no_rules(resource_class: str, region: str, code: str) -> None:
    assert check_market("fog", "north") == Market("fog", "north")
    with pytest.raises(Invalid) as refused:
        check_market(resource_class, region)
    assert refused.value.code == code
