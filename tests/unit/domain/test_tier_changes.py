"""Changing tiers: what they may be, and the versions that a change makes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.money import AMOUNT_NANO_MAX, PPM
from backend.domain.tier_changes import (
    LADDER_STEPS_MAX,
    TARGET_MS_MAX,
    TIER_SLOTS_MAX,
    WEIGHT_MAX,
    TierChanges,
    changed,
    check_reserved,
    check_tier,
    parse_share,
    revise,
)
from backend.domain.tiers import TIERS, ResourceClass, Tier, TierName, TierVersion, tier_at
from tests.unit.domain.refusals import refusal

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BIRTH = datetime(1970, 1, 1, tzinfo=UTC)
SMALL, ENTERPRISE = TIERS[TierName.SMALL], TIERS[TierName.ENTERPRISE]
BORN = [TierVersion(1, tier, BIRTH, BIRTH) for tier in TIERS.values()]
HUGE = 10**5_000


def small_at(versions: list[TierVersion], moment: datetime) -> Tier:
    """Tier small at a moment."""
    return tier_at(versions, moment)[TierName.SMALL]


@pytest.mark.parametrize("tier", TIERS.values(), ids=lambda tier: tier.name)
def test_every_tier_that_a_market_is_born_with_can_be(tier: Tier) -> None:
    assert check_tier(tier) is tier
    check_reserved(BORN, NOON)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ("dedicated",)},
        {"slots_max": TIER_SLOTS_MAX},
        {"slots_max": 1},
        {"month_cap_nano": AMOUNT_NANO_MAX, "request_cap_nano": AMOUNT_NANO_MAX},
        {"request_cap_nano": 1, "month_cap_nano": 1},
        {"latency_ms_p95": TARGET_MS_MAX},
        {"uptime_ppm": PPM},
        {"uptime_ppm": 1, "ladder": ((1, PPM),)},
        {"weight": WEIGHT_MAX},
        {"reserved_ppm": 0},
        {"reserved_ppm": PPM},
        {"ladder": ()},
        {"ladder": tuple((900_000 - n, 1 + n) for n in range(LADDER_STEPS_MAX))},
    ],
)
def test_a_setting_at_its_bound_is_taken(changes: dict[str, Any]) -> None:
    made = changed(SMALL, TierChanges(**changes))
    assert {name: getattr(made, name) for name in changes} == changes
    assert replace(made, **{name: getattr(SMALL, name) for name in (*changes, "ladder")}) == SMALL


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"classes": ()}, "classes"),
        ({"classes": ("fog", "fog")}, "classes"),
        ({"classes": ("fog", "moon")}, "classes"),
        ({"classes": ("x" * 10_000,)}, "classes"),
        ({"slots_max": 0}, "slots_max"),
        ({"slots_max": -1}, "slots_max"),
        ({"slots_max": TIER_SLOTS_MAX + 1}, "slots_max"),
        ({"slots_max": 1.5}, "slots_max"),
        ({"slots_max": True}, "slots_max"),
        ({"slots_max": HUGE}, "slots_max"),
        ({"request_cap_nano": 0}, "request_cap"),
        ({"request_cap_nano": AMOUNT_NANO_MAX + 1}, "request_cap"),
        ({"request_cap_nano": SMALL.month_cap_nano + 1}, "request_cap"),
        ({"month_cap_nano": SMALL.request_cap_nano - 1}, "request_cap"),
        ({"month_cap_nano": -1}, "month_cap"),
        ({"month_cap_nano": AMOUNT_NANO_MAX + 1}, "month_cap"),
        ({"latency_ms_p95": 0}, "latency_ms_p95"),
        ({"latency_ms_p95": TARGET_MS_MAX + 1}, "latency_ms_p95"),
        ({"latency_ms_p95": float("nan")}, "latency_ms_p95"),
        ({"uptime_ppm": 0}, "uptime_ppm"),
        ({"uptime_ppm": PPM + 1}, "uptime_ppm"),
        ({"weight": 0}, "weight"),
        ({"weight": WEIGHT_MAX + 1}, "weight"),
        ({"reserved_ppm": -1}, "reserved_ppm"),
        ({"reserved_ppm": PPM + 1}, "reserved_ppm"),
        ({"ladder": ((SMALL.uptime_ppm + 1, 1),)}, "ladder"),
        ({"ladder": ((900_000, 1), (900_000, 2))}, "ladder"),
        ({"ladder": ((900_000, 1), (800_000, 1))}, "ladder"),
        ({"ladder": ((900_000, 0),)}, "ladder"),
        ({"ladder": ((900_000, PPM + 1),)}, "ladder"),
        ({"ladder": ((0, 1),)}, "ladder"),
        ({"ladder": ((float("nan"), 1),)}, "ladder"),
        ({"ladder": ((HUGE, HUGE),)}, "ladder"),
        ({"ladder": tuple((900_000 - n, 1 + n) for n in range(LADDER_STEPS_MAX + 1))}, "ladder"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(changes: dict[str, Any], field: str) -> None:
    error = refusal(lambda: changed(SMALL, TierChanges(**changes)))
    assert (error.code, error.field) == (f"invalid_{field}", field)
    assert error.accepted
    assert len(error.message) < 200


def test_classes_are_what_they_are_named_in_the_order_of_preference() -> None:
    made = changed(SMALL, TierChanges(classes=("fog", "mobile")))
    assert made.classes == (ResourceClass.FOG, ResourceClass.MOBILE)
    assert all(isinstance(name, ResourceClass) for name in made.classes)


def test_a_ladder_falls_with_its_target_unless_it_is_named_itself() -> None:
    lower = changed(ENTERPRISE, TierChanges(uptime_ppm=970_000))
    assert lower.ladder == ((970_000, 300_000), (950_000, 1_000_000))
    assert changed(lower, TierChanges(uptime_ppm=PPM)).ladder == lower.ladder
    named = TierChanges(uptime_ppm=970_000, ladder=((960_000, 5),))
    assert changed(ENTERPRISE, named).ladder == ((960_000, 5),)


def test_what_is_not_named_stays_as_it_is_when_the_change_begins() -> None:
    versions = [*BORN, *revise(BORN, TierName.SMALL, TierChanges(weight=3), NOON + HOUR, NOON)]
    versions += revise(versions, TierName.SMALL, TierChanges(slots_max=9), NOON + 2 * HOUR, NOON)
    versions += revise(versions, TierName.SMALL, TierChanges(slots_max=7), None, NOON)
    assert [v.version for v in versions[4:]] == [2, 3, 4]
    seen = [small_at(versions, NOON + hours * HOUR) for hours in range(3)]
    assert [(tier.slots_max, tier.weight) for tier in seen] == [(7, 1), (4, 3), (9, 3)]
    assert tier_at(versions, NOON)[TierName.LARGE] == TIERS[TierName.LARGE]


def test_who_was_first_by_a_slower_clock_is_not_undone_by_who_came_after() -> None:
    versions = [*BORN, *revise(BORN, TierName.SMALL, TierChanges(weight=3), None, NOON)]
    versions += revise(versions, TierName.SMALL, TierChanges(slots_max=9), None, NOON - timedelta(milliseconds=5))
    assert (small_at(versions, NOON).slots_max, small_at(versions, NOON).weight) == (9, 3)


def test_a_monthly_cap_holds_at_once_and_in_versions_still_to_come() -> None:
    versions = list(BORN)
    for hours, weight in ((1, 2), (1, 3), (2, 4)):
        versions += revise(versions, TierName.SMALL, TierChanges(weight=weight), NOON + hours * HOUR, NOON)
    made = revise(versions, TierName.SMALL, TierChanges(month_cap_nano=10**10), None, NOON)
    assert [(v.version, v.tier.weight, v.valid_from) for v in made] == [
        (5, 1, NOON),
        (6, 3, NOON + HOUR),
        (7, 4, NOON + 2 * HOUR),
    ]
    assert {v.tier.month_cap_nano for v in made} == {10**10}
    assert [small_at([*versions, *made], NOON + hours * HOUR).weight for hours in range(3)] == [1, 3, 4]


def test_a_monthly_cap_that_a_version_to_come_cannot_have_is_refused() -> None:
    later = TierChanges(request_cap_nano=SMALL.month_cap_nano)
    versions = [*BORN, *revise(BORN, TierName.SMALL, later, NOON + HOUR, NOON)]
    lower = TierChanges(month_cap_nano=SMALL.month_cap_nano - 1)
    error = refusal(lambda: revise(versions, TierName.SMALL, lower, None, NOON))
    assert (error.code, error.field) == ("invalid_request_cap", "request_cap")
    assert f"version 2, from {(NOON + HOUR).isoformat()} on" in error.message
    assert len(revise(BORN, TierName.SMALL, lower, None, NOON)) == 1


def test_a_monthly_cap_cannot_be_changed_for_a_time_to_come_but_may_be_named_as_it_is() -> None:
    changes = TierChanges(month_cap_nano=SMALL.month_cap_nano + 1, weight=2)
    error = refusal(lambda: revise(BORN, TierName.SMALL, changes, NOON + HOUR, NOON))
    assert (error.code, error.field) == ("invalid_valid_from", "valid_from")
    assert "from now on" in str(error.accepted)
    assert len(revise(BORN, TierName.SMALL, changes, NOON, NOON)) == 1
    same = replace(changes, month_cap_nano=SMALL.month_cap_nano)
    assert len(revise(BORN, TierName.SMALL, same, NOON + HOUR, NOON)) == 1


def test_a_change_begins_neither_in_the_past_nor_without_a_setting() -> None:
    past = refusal(lambda: revise(BORN, TierName.SMALL, TierChanges(weight=2), NOON - HOUR, NOON))
    assert (past.code, past.field) == ("invalid_valid_from", "valid_from")
    assert refusal(lambda: revise(BORN, TierName.SMALL, TierChanges(), None, NOON)).code == "nothing_to_change"


def test_tiers_never_reserve_more_than_there_is_at_any_moment() -> None:
    more = TierChanges(reserved_ppm=SMALL.reserved_ppm + 1)
    error = refusal(lambda: revise(BORN, TierName.SMALL, more, None, NOON))
    assert (error.code, error.field) == ("invalid_reserved_ppm", "reserved_ppm")
    assert "enterprise 400000 ppm" in str(error.accepted)
    versions = [*BORN, *revise(BORN, TierName.LARGE, TierChanges(reserved_ppm=299_999), NOON + HOUR, NOON)]
    assert refusal(lambda: revise(versions, TierName.SMALL, more, None, NOON)).field == "reserved_ppm"
    versions += revise(versions, TierName.SMALL, more, NOON + HOUR, NOON)
    back = TierChanges(reserved_ppm=300_000)
    assert refusal(lambda: revise(versions, TierName.LARGE, back, NOON + 2 * HOUR, NOON)).field == "reserved_ppm"
    until_then = refusal(lambda: revise(versions, TierName.SMALL, more, NOON, NOON))
    assert until_then.message == "1000001 ppm of each market would be reserved"


def test_a_share_that_is_raised_now_is_held_against_what_others_will_have() -> None:
    versions = [*BORN, *revise(BORN, TierName.LARGE, TierChanges(reserved_ppm=0), None, NOON)]
    versions += revise(versions, TierName.LARGE, TierChanges(reserved_ppm=300_000), NOON + HOUR, NOON)
    more = TierChanges(reserved_ppm=200_000)
    error = refusal(lambda: revise(versions, TierName.SMALL, more, None, NOON))
    assert error.message == f"1100000 ppm of each market would be reserved from {(NOON + HOUR).isoformat()} on"


@given(st.integers(0, PPM))
def test_a_percentage_is_read_as_it_is_written(ppm: int) -> None:
    assert parse_share(f"{ppm // 10_000}.{ppm % 10_000:04}", "uptime") == ppm


@pytest.mark.parametrize("text", ["", "-1", "100.0001", "101", "3,5", "1e1", "NaN", "0.00001", "٣", "9" * 9_999])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    error = refusal(lambda: parse_share(text, "uptime"))
    assert (error.code, error.field) == ("invalid_uptime", "uptime")
