"""Corrections: which charges stand, and what replaces them, for any history of captures, reversals and replacements."""

from collections.abc import Callable
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.corrections import (
    REASON_CHARS_MAX,
    FundShort,
    Paid,
    PayeeShort,
    charges_by_payee,
    check_reason,
    correction,
    paid,
    standing_nano,
)
from backend.domain.errors import InsufficientFunds
from backend.domain.ids import HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import CREDITS_ID, FEES_ID, Post, Reverse, Transfer, TransferKind, mirror
from backend.domain.money import fee_nano
from tests.unit.domain.refusals import refusal

WALLET, EARNINGS, OTHER = (LedgerAccountId(UUID(int=n)) for n in (101, 102, 103))
HOLD, OTHER_HOLD = HoldId(UUID(int=201)), HoldId(UUID(int=202))


def ids() -> Callable[[], TransferId]:
    numbers = count(1_000)
    return lambda: TransferId(UUID(int=next(numbers)))


def charge(number: int, nano: int, hold: HoldId = HOLD, payee: LedgerAccountId = EARNINGS) -> Transfer:
    return Transfer(TransferId(UUID(int=number)), TransferKind.CHARGE, WALLET, payee, nano, hold)


def fee(number: int, nano: int, hold: HoldId = HOLD) -> Transfer:
    return Transfer(TransferId(UUID(int=number)), TransferKind.FEE, WALLET, FEES_ID, nano, hold)


def undo(original: Transfer, number: int) -> Transfer:
    return mirror(original, TransferId(UUID(int=number)))


def test_a_fee_belongs_to_the_charge_before_it_from_the_same_hold() -> None:
    a, other, b, c, d, alone = (
        charge(1, 96),
        charge(2, 50, OTHER_HOLD),
        fee(3, 4),
        charge(4, 10, payee=OTHER),
        charge(5, 20),
        fee(6, 1, OTHER_HOLD),
    )
    lonely = fee(7, 1, HoldId(UUID(int=203)))
    deposit = Transfer(TransferId(UUID(int=8)), TransferKind.DEPOSIT, OTHER, WALLET, 1)
    assert paid([a, other, b, c, d, alone, lonely, deposit]) == [
        Paid(a, b),
        Paid(other, alone),
        Paid(c, None),
        Paid(d, None),
        Paid(None, lonely),
    ]
    assert charges_by_payee(paid([a, b, c, d, lonely])) == {EARNINGS: 116, OTHER: 10}


def test_what_was_reversed_does_not_stand_any_more() -> None:
    a, b = charge(1, 96), fee(2, 4)
    assert paid([a, b, undo(a, 3)]) == [Paid(None, b)]
    assert paid([a, b, undo(b, 3)]) == [Paid(a, None)]
    assert paid([a, b, undo(a, 3), undo(b, 4)]) == []


def test_a_refund_counts_as_given_back_until_it_is_reversed() -> None:
    refund = Transfer(TransferId(UUID(int=3)), TransferKind.REFUND, CREDITS_ID, WALLET, 30)
    assert standing_nano([charge(1, 96), fee(2, 4), refund]) == 70
    assert standing_nano([charge(1, 96), fee(2, 4), refund, undo(refund, 4)]) == 100


@given(st.integers(1, 10**15), st.integers(0, 500_000), st.lists(st.integers(0, 10**15), max_size=5), st.booleans())
def test_however_often_a_payment_is_corrected_what_stands_is_the_amount_and_its_fee(
    total: int, fee_ppm: int, amounts: list[int], knows_fee: bool
) -> None:
    share = fee_nano(total, fee_ppm)
    history = [t for t in (charge(1, total - share), fee(2, share)) if t.amount_nano]
    new_id = ids()
    for amount in sorted({amount for amount in amounts if amount < total}, reverse=True):
        [pair] = paid(history)
        undo_first, charge_first = correction(pair, amount, fee_ppm if knows_fee else None, new_id)
        assert set(undo_first.operations) == set(charge_first.operations)
        assert list(map(type, undo_first.operations)) == list(reversed(list(map(type, charge_first.operations))))
        for operation in undo_first.operations:
            assert isinstance(operation, Reverse | Post)
            assert operation.transfer.hold_id is None
            history.append(operation.transfer)
        assert standing_nano(history) == amount
        if amount:
            [pair] = paid(history)
            assert pair.amount_nano == amount
            if knows_fee:
                assert (pair.fee.amount_nano if pair.fee else 0) == fee_nano(amount, fee_ppm)
        else:
            assert paid(history) == []
            break


def test_what_does_not_change_is_left_alone() -> None:
    pair = Paid(charge(1, 9_600), fee(2, 400))
    only_charge, _ = correction(pair, 9_999, 40_000, ids())  # its fee is 400 still
    assert [type(o) for o in only_charge.operations] == [Reverse, Post]
    alone, _ = correction(Paid(pair.charge, None), 100, 40_000, ids())  # its fee was given back before
    assert [o.transfer.amount_nano for o in alone.operations if isinstance(o, Post)] == [100]


def test_what_was_all_the_markets_is_replaced_by_a_smaller_fee() -> None:
    lone = fee(1, 10)
    whole, _ = correction(Paid(None, lone), 4, 40_000, ids())
    [_, anew] = [o.transfer for o in whole.operations if isinstance(o, Reverse | Post)]
    assert (anew.kind, anew.amount_nano, anew.original_id) == (TransferKind.FEE, 4, lone.id)


def test_a_short_payee_and_a_short_fund_say_what_helps() -> None:
    short = InsufficientFunds(EARNINGS, 5, 2)
    assert (PayeeShort(short).code, PayeeShort(short).field) == ("payee_short_of_funds", "from_fund")
    assert FundShort(short).code == "fund_short"
    assert "0.000000002" in str(FundShort(short).accepted)


@pytest.mark.parametrize("reason", ["", " ", "a\nb", "x" * (REASON_CHARS_MAX + 1)])
def test_a_reason_says_something(reason: str) -> None:
    assert check_reason("x" * REASON_CHARS_MAX)
    refused = refusal(lambda: check_reason(reason, "resolution"))
    assert (refused.code, refused.field) == ("invalid_resolution", "resolution")
