"""Linked operations: all or none, whatever they are, and in the order of their batch."""

import pytest

from backend.domain.ledger import HoldState, Linked, Operation
from tests.unit.domain.ledgers import (
    EARNINGS,
    PAID,
    PENDING,
    RESOLVED,
    WALLET,
    capture,
    codes,
    deposit,
    expire,
    linked,
    more,
    opened,
    pay,
    release,
    reserve,
    reverse,
)

IMPOSSIBLE = release(RESOLVED)


@pytest.mark.parametrize(
    "operation",
    [
        pay(5),
        deposit(5),
        reserve(3, 5),
        more(PENDING, 5),
        capture(PENDING, 5),
        capture(PENDING, 40),
        release(PENDING),
        release(PENDING, amount_nano=5),
        expire(PENDING),
        reverse(PAID),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_a_group_did_before_one_of_it_was_refused_is_taken_back(operation: Operation) -> None:
    ledger, untouched = opened(), opened()
    applied = ledger.do(linked(operation, IMPOSSIBLE))
    assert codes(applied) == ["hold_resolved"]
    assert (applied.balances, applied.new_holds, applied.changed_holds, applied.transfers) == ((), (), (), ())
    assert codes(ledger.do(linked(operation, IMPOSSIBLE), operation)) == ["hold_resolved", None]
    assert codes(untouched.do(operation)) == [None]
    assert ledger == untouched


def test_a_refused_group_leaves_what_was_done_before_it_in_the_batch() -> None:
    ledger = opened()
    outcomes = ledger.do(
        capture(PENDING, 10),
        reserve(3, 20),
        linked(capture(PENDING, 10), capture(3, 20), deposit(7), release(PENDING), reserve(4, 1), IMPOSSIBLE),
        capture(3, 5),
    )
    assert codes(outcomes) == [None, None, "hold_resolved", None]
    assert [moved.amount_nano for moved in outcomes.transfers] == [10, 5]
    assert (ledger.hold(PENDING).left_nano, ledger.hold(3).left_nano) == (30, 15)
    assert (ledger.available(WALLET), ledger.available(EARNINGS)) == (40, 35)
    assert [hold.id.int for hold in outcomes.new_holds] == [3]


def test_a_group_sees_what_came_before_it_in_the_batch_and_what_comes_after_sees_the_group() -> None:
    ledger = opened()
    assert codes(
        ledger.do(
            deposit(40),
            linked(reserve(3, 100), more(PENDING, 0)),  # refused: 100 are free again
            linked(reserve(3, 100), capture(3, 70)),  # needs the deposit
            capture(3, 31),
            capture(3, 30),  # needs the group
            reserve(4, 1),  # nothing left
        )
    ) == [None, "invalid_amount", None, "hold_exceeded", None, "insufficient_funds"]
    assert ledger.hold(3).state is HoldState.POSTED


def test_inside_a_group_later_operations_see_earlier_ones() -> None:
    ledger = opened()
    assert codes(ledger.do(linked(deposit(100), reserve(3, 160), capture(3, 100), release(3)))) == [None]
    assert codes(ledger.do(linked(pay(60), pay(1)))) == ["insufficient_funds"]
    assert ledger.available(WALLET) == 60


def test_the_error_of_a_group_is_that_of_its_first_operation_that_cannot_be_done() -> None:
    ledger = opened()
    assert codes(ledger.do(linked(pay(1), pay(1_000), IMPOSSIBLE), linked(pay(1), IMPOSSIBLE, pay(1_000)))) == [
        "insufficient_funds",
        "hold_resolved",
    ]


def test_a_correction_is_one_group_a_reversal_and_a_new_charge() -> None:
    ledger = opened()
    assert codes(ledger.do(linked(reverse(PAID, number=1), pay(81, number=2)))) == ["insufficient_funds"]
    assert codes(ledger.do(linked(reverse(PAID, number=3), pay(80, number=4)))) == [None]
    assert codes(ledger.do(linked(reverse(PAID, number=5), pay(1, number=6)))) == ["already_reversed"]
    assert (ledger.available(WALLET), ledger.available(EARNINGS)) == (0, 80)


def test_an_empty_group_does_nothing() -> None:
    ledger, untouched = opened(), opened()
    assert codes(ledger.do(Linked(()))) == [None]
    assert ledger == untouched
