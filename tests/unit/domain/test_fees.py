"""Fees: versions in time, and percentages as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.fees import (
    FEE_PPM_MAX,
    FeeVersion,
    check_fee,
    check_start,
    fee_at,
    in_force,
    parse_percent,
)
from backend.domain.percent import format_percent
from backend.domain.tiers import TierName
from tests.unit.domain.refusals import refusal

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def version(number: int, fee_ppm: int, since: datetime, tier: TierName = TierName.SMALL) -> FeeVersion:
    return FeeVersion(tier, number, fee_ppm, since, NOON)


FIRST = version(1, 100, NOON)
SECOND = version(2, 200, NOON + HOUR)
SAME_TIME = version(3, 300, NOON + HOUR)
OTHER = version(1, 50, NOON, TierName.LARGE)
ALL = [FIRST, SECOND, SAME_TIME, OTHER]


@pytest.mark.parametrize(
    ("moment", "fees"),
    [
        (NOON - HOUR, {}),
        (NOON, {"small": 100, "large": 50}),
        (NOON + HOUR - timedelta(microseconds=1), {"small": 100, "large": 50}),
        (NOON + HOUR, {"small": 300, "large": 50}),
    ],
)
def test_the_fee_of_a_moment_is_that_of_the_latest_version_that_has_begun(
    moment: datetime, fees: dict[TierName, int]
) -> None:
    assert fee_at(ALL, moment) == fee_at(reversed(ALL), moment) == fees


def test_in_force_is_what_counts_now_and_what_is_still_to_come() -> None:
    assert in_force(ALL, NOON) == ALL
    assert in_force(ALL, NOON + HOUR) == [SAME_TIME, OTHER]


@pytest.mark.parametrize("fee_ppm", [-1, FEE_PPM_MAX + 1])
def test_a_fee_is_between_nothing_and_half(fee_ppm: int) -> None:
    assert refusal(lambda: check_fee(fee_ppm)).code == "invalid_fee"
    assert [check_fee(0), check_fee(FEE_PPM_MAX)] == [0, FEE_PPM_MAX]


def test_a_fee_does_not_begin_in_the_past() -> None:
    assert check_start(NOON, NOON) == NOON
    assert refusal(lambda: check_start(NOON - HOUR, NOON)).field == "valid_from"


@given(st.integers(0, FEE_PPM_MAX))
def test_a_percentage_is_read_as_it_is_written(fee_ppm: int) -> None:
    assert parse_percent(format_percent(fee_ppm)) == fee_ppm


@pytest.mark.parametrize("text", ["", "-1", "50.0001", "3,5", "1e1", "NaN", "0.00001", "٣"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_percent(text)
    assert (refused.value.code, refused.value.field) == ("invalid_fee", "fee")
