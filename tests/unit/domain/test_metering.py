"""What usage costs at which time, and how a charge is corrected."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.ids import AccountId, HoldId, LedgerAccountId, TransferId, UsageId
from backend.domain.ledger import Linked, Post, Reverse, Transfer, TransferKind
from backend.domain.metering import (
    PRICES_FROM,
    UNIT_CHARS_MAX,
    MeterPrice,
    Usage,
    UsageState,
    check_meter,
    check_price,
    corrections,
    cost_nano,
    price_at,
    rated,
    spans,
)
from backend.domain.money import AMOUNT_NANO_MAX
from tests.unit.domain.refusals import refusal

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
CHARGE = Transfer(
    TransferId(UUID(int=1)),
    TransferKind.CHARGE,
    LedgerAccountId(UUID(int=2)),
    LedgerAccountId(UUID(int=3)),
    10,
    HoldId(UUID(int=4)),
)
REVERSAL_ID, CHARGE_ID = TransferId(UUID(int=5)), TransferId(UUID(int=6))
REVERSAL = Reverse(Transfer(REVERSAL_ID, TransferKind.REVERSAL, CHARGE.credit, CHARGE.debit, 10, original_id=CHARGE.id))


def price(version: int, nano: int = 1, since: datetime = PRICES_FROM) -> MeterPrice:
    return MeterPrice("m", version, nano, since, NOON)


def usage(state: UsageState = UsageState.UNPAID, transfer: bool = False) -> Usage:
    return Usage(
        UsageId(UUID(int=4)),
        "/s",
        "e",
        b"d",
        "m",
        AccountId(UUID(int=7)),
        2_500_000,
        NOON,
        NOON,
        1,
        10,
        state,
        CHARGE.id if transfer else None,
    )


def test_a_price_is_valid_until_the_next_one_begins() -> None:
    later = price(2, since=NOON)
    valid = spans([later, price(1)])
    assert [(span.price.version, span.until) for span in valid] == [(1, NOON), (2, None)]
    assert price_at(valid, NOON - timedelta(microseconds=1)).version == 1
    assert price_at(valid, NOON).version == 2


def test_of_prices_that_begin_at_once_the_last_one_set_counts() -> None:
    valid = spans([price(3, since=NOON), price(1), price(2, since=NOON)])
    assert [span.price.version for span in valid] == [1, 3]


@given(st.lists(st.integers(0, 20), max_size=8), st.integers(0, 25))
def test_the_valid_price_is_the_last_set_of_those_that_began_last(hours: list[int], at: int) -> None:
    prices = [price(1), *(price(n, since=NOON + timedelta(hours=h)) for n, h in enumerate(hours, 2))]
    moment = NOON + timedelta(hours=at)
    begun = [p for p in prices if p.valid_from <= moment]
    assert price_at(spans(prices), moment) == max(begun, key=lambda p: (p.valid_from, p.version))


@pytest.mark.parametrize(
    ("nano", "micro", "cost"),
    [(1, 1, 1), (1, 1_000_000, 1), (1, 1_000_001, 2), (3, 333_333, 1), (0, 10**18, 0), (10**18, 1_000_000, 10**18)],
)
def test_a_cost_is_exact_and_rounded_up_to_the_nano(nano: int, micro: int, cost: int) -> None:
    assert cost_nano(nano, micro) == cost


def test_a_cost_above_what_can_be_moved_is_refused() -> None:
    error = refusal(lambda: cost_nano(AMOUNT_NANO_MAX, 1_000_001))
    assert (error.code, error.field) == ("invalid_amount", "data.quantity")


@pytest.mark.parametrize(
    ("transfer", "nano", "state", "amount"),
    [
        (False, 4, UsageState.UNPAID, 10),
        (False, 0, UsageState.FREE, 0),
        (True, 4, UsageState.CHARGED, 10),
        (True, 0, UsageState.FREE, 0),
    ],
)
def test_usage_is_rated_at_a_price(transfer: bool, nano: int, state: UsageState, amount: int) -> None:
    before = usage(transfer=transfer)
    assert rated(before, price(2, nano)) == replace(before, price_version=2, state=state, amount_nano=amount)


def ways(state: UsageState, amount: int) -> list[Linked]:
    return corrections(usage(state, transfer=True), amount, CHARGE, REVERSAL_ID, CHARGE_ID)


def charge(amount: int) -> Post:
    return Post(replace(CHARGE, id=CHARGE_ID, amount_nano=amount, hold_id=None, original_id=CHARGE.id))


@pytest.mark.parametrize("amount", [9, 11])
def test_a_charge_is_corrected_by_a_reversal_and_a_charge_in_either_order(amount: int) -> None:
    assert ways(UsageState.CHARGED, amount) == [
        Linked((REVERSAL, charge(amount))),
        Linked((charge(amount), REVERSAL)),
    ]


def test_a_charge_of_nothing_any_more_is_reversed_only() -> None:
    assert ways(UsageState.CHARGED, 0) == [Linked((REVERSAL,))]


def test_what_was_reversed_is_charged_in_its_place_only() -> None:
    assert ways(UsageState.FREE, 10) == [Linked((charge(10),))]


def test_what_is_right_already_is_not_corrected() -> None:
    assert ways(UsageState.CHARGED, 10) == ways(UsageState.FREE, 0) == []


def test_a_meter_is_called_like_a_type_of_event() -> None:
    check_meter("com.example.storage.gb_hours-2", "GB hours")
    for name in ("", ".a", "a b", "a/b", "é", "a" * 129):
        error = refusal(partial(check_meter, name, "u"))
        assert (error.code, error.field) == ("invalid_name", "name")
    for unit in ("", " ", "\n", "u" * (UNIT_CHARS_MAX + 1)):
        error = refusal(partial(check_meter, "m", unit))
        assert (error.code, error.field) == ("invalid_unit", "unit")


def test_a_price_is_not_negative_not_too_large_and_does_not_begin_before_all_usage() -> None:
    check_price(0, PRICES_FROM)
    check_price(AMOUNT_NANO_MAX, NOON)
    for nano in (-1, AMOUNT_NANO_MAX + 1):
        with pytest.raises(Invalid):
            check_price(nano, NOON)
    assert refusal(lambda: check_price(1, PRICES_FROM - timedelta(seconds=1))).field == "valid_from"
