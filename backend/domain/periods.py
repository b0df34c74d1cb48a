"""Periods that bills and statements are for: whole days of a named time zone, as moments [start, end) in UTC."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from backend.domain.errors import Invalid, shown

PERIOD_DAYS_MAX = 366
ZONE_SHIFT_MAX = timedelta(hours=27)  # the clocks of two time zones are at most 26 h apart, and an hour of summer time
YEAR_MIN, YEAR_MAX = 2000, 9998
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to, but without, `end`; both lie at midnight in `timezone` unless `join` moved the start."""

    start: datetime
    end: datetime
    timezone: str

    def __str__(self) -> str:
        """As people write it: `2026-10, UTC` for a month, else `2026-10-01 up to 2026-10-16, UTC`."""
        zone = zone_named(self.timezone)
        first = self.start.astimezone(zone).date()
        if first.day == 1 and (self.start, self.end) == (_midnight(first, zone), _midnight(_next_month(first), zone)):
            return f"{first:%Y-%m}, {self.timezone}"
        return f"{_written(self.start, zone)} up to {_written(self.end, zone)}, {self.timezone}"

    def contains(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.start <= moment < self.end

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether another stretch of time shares a moment with it."""
        return start < self.end and self.start < end


def zone_named(timezone: str) -> ZoneInfo:
    """The time zone of that name; raises Invalid(`invalid_timezone`)."""
    try:
        return ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):  # not there; no name at all; a folder of names
        raise unknown_timezone(timezone) from None


def unknown_timezone(name: str) -> Invalid:
    """The error for a time zone that nobody can count in."""
    return Invalid(
        f"there is no time zone {shown(name)}",
        code="invalid_timezone",
        field="timezone",
        accepted="a name of the IANA database, as in Europe/Berlin, America/New_York or UTC",
    )


def days(first: date, end: date, timezone: str) -> Period:
    """The days from `first` up to, but without, `end`; raises Invalid(`invalid_period`)."""
    zone = zone_named(timezone)
    if not (first < end <= first + timedelta(days=PERIOD_DAYS_MAX)) or not YEAR_MIN <= first.year <= YEAR_MAX:
        raise Invalid(
            f"no period goes from {first} to {end}",
            code="invalid_period",
            field="to",
            accepted=f"a later day, at most {PERIOD_DAYS_MAX} days after the first; it is not part of the period",
        )
    return Period(_midnight(first, zone), _midnight(end, zone), timezone)


def month(text: str, timezone: str) -> Period:
    """A calendar month, written as 2026-10; raises Invalid(`invalid_month`)."""
    found = _MONTH.fullmatch(text)
    if found is None or not YEAR_MIN <= int(found[1]) <= YEAR_MAX:
        raise Invalid(
            f"{shown(text)} is not a month", code="invalid_month", field="month", accepted="a month such as 2026-10"
        )
    first = date(int(found[1]), int(found[2]), 1)
    return days(first, _next_month(first), timezone)


def period_of(
    now: datetime,
    timezone: str,
    month_text: str | None = None,
    first: date | None = None,
    end: date | None = None,
) -> Period:
    """The month, or the days, that were asked for; the running month of the time zone if nothing was."""
    if month_text is not None and first is None and end is None:
        return month(month_text, timezone)
    if month_text is None and first is not None and end is not None:
        return days(first, end, timezone)
    if month_text is not None or first is not None or end is not None:
        raise Invalid(
            "that is not one period", code="invalid_period", field="month", accepted="a month, or both from and to"
        )
    today = now.astimezone(zone_named(timezone)).date().replace(day=1)
    return days(today, _next_month(today), timezone)


def join(period: Period, previous_end: datetime, previous_timezone: str) -> Period:
    """The period as it follows a bill of another time zone: it begins where that ended, so that no hour is lost.

    Midnights of two zones are never the same moment; within one zone periods stay as they were asked for.
    """
    apart = abs(previous_end - period.start)
    if previous_timezone == period.timezone or apart >= ZONE_SHIFT_MAX or previous_end >= period.end:
        return period
    return replace(period, start=previous_end)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day; where summer time leaves midnight out, that is the moment of the change."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _written(moment: datetime, zone: ZoneInfo) -> str:
    """A moment of a time zone: the day alone if that is where the day begins."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d}" if moment == _midnight(local.date(), zone) else f"{local:%Y-%m-%d %H:%M}"


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
