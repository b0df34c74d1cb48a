"""Periods: whole days of a time zone, whatever its summer time does, and no hour lost between two zones."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.periods import PERIOD_DAYS_MAX, Period, days, join, month, period_of, zone_named

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Cairo",
]
NOW = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)


@given(
    zone=st.sampled_from(ZONES),
    first=st.dates(date(2001, 1, 1), date(2040, 1, 1)),
    lengths=st.lists(st.integers(1, 40), min_size=2, max_size=5),
)
def test_periods_that_follow_each_other_leave_no_moment_out_and_share_none(
    zone: str, first: date, lengths: list[int]
) -> None:
    made = []
    for length in lengths:
        made.append(days(first, first + timedelta(days=length), zone))
        first += timedelta(days=length)
    for before, after in pairwise(made):
        assert before.end == after.start
        assert before.contains(before.end - timedelta.resolution)
        assert not before.contains(after.start)
        assert not before.overlaps(after.start, after.end)
        assert before.overlaps(before.end - timedelta.resolution, after.end)


def test_a_month_with_a_change_of_clocks_is_an_hour_longer_or_shorter() -> None:
    october, march = month("2026-10", "Europe/Berlin"), month("2026-03", "Europe/Berlin")
    assert october.end - october.start == timedelta(days=31, hours=1)
    assert march.end - march.start == timedelta(days=31, hours=-1)
    assert (october.start.tzinfo, october.start.hour) == (UTC, 22)


def test_a_day_without_a_midnight_begins_with_the_change_of_clocks() -> None:
    day = days(date(2018, 11, 4), date(2018, 11, 5), "America/Sao_Paulo")
    assert day.start == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert day.end - day.start == timedelta(hours=23)


def test_the_running_month_is_that_of_the_time_zone() -> None:
    assert period_of(NOW, "UTC") == month("2026-10", "UTC")
    assert period_of(NOW, "Europe/Berlin") == month("2026-11", "Europe/Berlin")
    assert period_of(NOW, "UTC", "2026-09") == month("2026-09", "UTC")
    assert period_of(NOW, "UTC", None, date(2026, 12, 31), date(2027, 1, 1)).start == datetime(2026, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-00", "1999-12", "9999-01", "26-10", "2026-1", "٢٠٢٦-10"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        month(text, "UTC")
    assert (refused.value.code, refused.value.field) == ("invalid_month", "month")


@pytest.mark.parametrize("zone", ["", "Europe", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "x" * 5_000, "a\x00b"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(Invalid) as refused:
        zone_named(zone)
    assert (refused.value.code, refused.value.field) == ("invalid_timezone", "timezone")


@pytest.mark.parametrize(
    ("first", "end"),
    [
        (date(2026, 10, 2), date(2026, 10, 2)),
        (date(2026, 10, 2), date(2026, 10, 1)),
        (date(2026, 10, 2), date(2026, 10, 3) + timedelta(days=PERIOD_DAYS_MAX)),
        (date(1999, 12, 31), date(2000, 1, 1)),
    ],
)
def test_days_that_are_no_period_are_refused(first: date, end: date) -> None:
    with pytest.raises(Invalid) as refused:
        days(first, end, "UTC")
    assert refused.value.code == "invalid_period"


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [("2026-10", date(2026, 10, 1), None), (None, date(2026, 10, 1), None), (None, None, date(2026, 10, 1))],
)
def test_a_month_and_days_or_half_a_period_are_refused(text: str | None, first: date | None, end: date | None) -> None:
    with pytest.raises(Invalid) as refused:
        period_of(NOW, "UTC", text, first, end)
    assert refused.value.code == "invalid_period"


def test_a_period_of_another_time_zone_begins_where_the_last_one_ended() -> None:
    berlin, utc = month("2026-10", "Europe/Berlin"), month("2026-11", "UTC")
    assert join(utc, berlin.end, berlin.timezone) == Period(berlin.end, utc.end, "UTC")
    tokyo = month("2026-11", "Asia/Tokyo")
    assert join(tokyo, berlin.end, berlin.timezone).start == berlin.end > tokyo.start


def test_a_period_is_joined_neither_within_a_zone_nor_over_a_day_nor_to_what_covers_it() -> None:
    october, november = month("2026-10", "UTC"), month("2026-11", "UTC")
    assert join(november, november.start - timedelta(hours=5), "UTC") == november
    assert join(november, october.start, "Europe/Berlin") == november
    day = days(date(2026, 11, 1), date(2026, 11, 2), "UTC")
    assert join(day, day.end, "Europe/Berlin") == day


def test_a_period_is_written_as_a_month_or_as_days_of_its_time_zone() -> None:
    berlin = month("2026-10", "Europe/Berlin")
    assert str(berlin) == "2026-10, Europe/Berlin"
    assert str(days(date(2026, 10, 1), date(2026, 10, 31), "UTC")) == "2026-10-01 up to 2026-10-31, UTC"
    assert str(days(date(2026, 10, 2), date(2026, 11, 1), "UTC")) == "2026-10-02 up to 2026-11-01, UTC"
    joined = join(month("2026-11", "America/New_York"), berlin.end, "Europe/Berlin")
    assert str(joined) == "2026-10-31 19:00 up to 2026-12-01, America/New_York"
    assert str(days(date(2018, 11, 4), date(2018, 11, 5), "America/Sao_Paulo")).startswith(
        "2018-11-04 up to 2018-11-05"
    )
