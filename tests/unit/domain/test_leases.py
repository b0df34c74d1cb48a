"""Prepaid windows: what is used of one is never more than what was held for it."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.leases import WINDOW_S, used_nano, window_nano

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(seconds=WINDOW_S)

prices = st.integers(1, 10**12)
slots = st.integers(1, 1_024)
within = st.timedeltas(timedelta(0), END - START)
ends = st.none() | (within | st.timedeltas(timedelta(hours=-1), timedelta(hours=1))).map(lambda offset: START + offset)


@given(prices, prices, slots, ends)
def test_a_window_is_never_charged_above_its_hold(
    price: int, limit: int, slots: int, lease_ended_at: datetime | None
) -> None:
    price, limit = sorted((price, limit))  # a lease's price is never above its order's limit
    assert 0 <= used_nano(price, slots, START, END, lease_ended_at) <= window_nano(limit, slots)


@given(prices, slots, ends)
def test_a_window_is_charged_to_the_microsecond_until_it_or_its_lease_ends(
    price: int, slots: int, lease_ended_at: datetime | None
) -> None:
    used_us = min(max((lease_ended_at - START) // timedelta(microseconds=1), 0), 30_000_000) if lease_ended_at else None
    exact = Fraction(price * slots * (30_000_000 if used_us is None else used_us), 1_000_000)
    assert exact <= used_nano(price, slots, START, END, lease_ended_at) < exact + 1


@given(prices, slots, ends, ends)
def test_who_ends_a_lease_later_never_pays_less(
    price: int, slots: int, one: datetime | None, other: datetime | None
) -> None:
    earlier, later = sorted((one or END, other or END))
    assert used_nano(price, slots, START, END, earlier) <= used_nano(price, slots, START, END, later)


@pytest.mark.parametrize("lease_ended_at", [START, START - timedelta(seconds=1)])
def test_a_window_that_was_prepaid_but_never_began_costs_nothing(lease_ended_at: datetime) -> None:
    assert used_nano(10**9, 4, START, END, lease_ended_at) == 0


@given(prices, slots)
def test_a_window_that_ran_to_its_end_costs_all_of_its_hold(price: int, slots: int) -> None:
    assert used_nano(price, slots, START, END, None) == window_nano(price, slots) == price * slots * WINDOW_S
