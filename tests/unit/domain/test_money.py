"""Amounts on the wire, and the one function that rounds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.money import (
    AMOUNT_NANO_MAX,
    NANO_PER_CREDIT,
    PPM,
    US_PER_S,
    charge_nano,
    fee_nano,
    format_credits,
    parse_credits,
    round_up,
)
from tests.unit.domain.refusals import refusal

amounts = st.integers(1, AMOUNT_NANO_MAX)
prices = st.integers(0, 10**12)
times = st.integers(0, 86_400 * US_PER_S)


@given(amounts)
def test_an_amount_survives_the_wire(nano: int) -> None:
    assert parse_credits(format_credits(nano)) == nano


@given(st.integers(-(10**19), 10**19))
def test_a_formatted_amount_is_exact_and_always_has_nine_decimals(nano: int) -> None:
    text = format_credits(nano)
    assert Fraction(text) == Fraction(nano, NANO_PER_CREDIT)
    assert len(text.partition(".")[2]) == 9


@given(st.integers(0, 10**9 - 1), st.text("0123456789", min_size=1, max_size=9))
def test_decimals_may_be_left_out_from_the_right(whole: int, decimals: str) -> None:
    text = f"{whole}.{decimals}"
    assert parse_credits(text, zero=True) == Fraction(text) * NANO_PER_CREDIT
    assert parse_credits(str(whole), zero=True) == whole * NANO_PER_CREDIT


@given(st.text("0123456789.", max_size=21) | st.text("0123456789.-+eE_ \n٣²", max_size=21) | st.text(max_size=21))
def test_any_text_is_an_exact_amount_in_range_or_refused(text: str) -> None:
    try:
        nano = parse_credits(text)
    except Invalid:
        return
    assert 1 <= nano <= AMOUNT_NANO_MAX
    assert nano == Fraction(text) * NANO_PER_CREDIT


@pytest.mark.parametrize(
    "amount",
    [
        *("NaN", "nan", "Infinity", "-Infinity", "1e3", "1E-9", "1e-30", "-1", "+1", "-0.5", str(10**20)),
        *("", " ", ".", "1.", ".5", "1.2.3", "1,5", "1_000", "0x10", " 1", "1 ", "1\n", "\n1", "1.5\n"),
        *("1.0000000000", "0.0000000001", "00000000001", "1000000000.000000001", "1000000001"),
        *("٣", "߁", "²", "1.٣"),  # digits to Python, but not ASCII
        *("0", "0.000000000", 1, 0, -1, 10**20, 1.5, float("nan"), True, None, b"1", ["1"], {"amount": "1"}),
    ],
)
def test_what_is_not_a_positive_decimal_string_of_nine_decimals_is_refused(amount: object) -> None:
    error = refusal(lambda: parse_credits(amount, "max_budget"))
    assert isinstance(error, Invalid)
    assert (error.code, error.field) == ("invalid_amount", "max_budget")
    assert "decimal string" in (error.accepted or "")


def test_the_least_and_the_largest_amount_are_accepted_and_zero_only_where_it_is_asked_for() -> None:
    assert parse_credits("0.000000001") == 1
    assert parse_credits("1000000000") == parse_credits("1000000000.000000000") == AMOUNT_NANO_MAX
    assert parse_credits("0", zero=True) == parse_credits("0.0", zero=True) == 0


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**18))
def test_rounding_up_gives_the_least_integer_that_is_not_below(numerator: int, denominator: int) -> None:
    rounded = round_up(numerator, denominator)
    assert rounded - 1 < Fraction(numerator, denominator) <= rounded


@given(prices, times)
def test_a_charge_is_less_than_a_nano_above_the_exact_cost_and_never_below(price: int, busy_us: int) -> None:
    exact = Fraction(price * busy_us, US_PER_S)
    assert exact <= charge_nano(price, busy_us) < exact + 1


@given(prices, st.lists(times, min_size=1, max_size=20))
def test_splitting_work_never_makes_it_cheaper_and_costs_less_than_a_nano_a_part(price: int, parts: list[int]) -> None:
    whole, split = charge_nano(price, sum(parts)), sum(charge_nano(price, part) for part in parts)
    assert whole <= split < whole + len(parts)


@given(st.integers(0, AMOUNT_NANO_MAX), st.integers(0, PPM))
def test_a_fee_is_rounded_up_and_never_above_its_charge(charge: int, fee_ppm: int) -> None:
    fee, exact = fee_nano(charge, fee_ppm), Fraction(charge * fee_ppm, PPM)
    assert exact <= fee < exact + 1
    assert 0 <= fee <= charge
