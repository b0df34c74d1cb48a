"""Double entry: what one batch of operations does, and what a refused one leaves behind."""

from collections.abc import Sequence
from copy import deepcopy

import pytest
from hypothesis import given, settings

from backend.domain.errors import HoldExceeded, HoldResolved, InsufficientFunds
from backend.domain.ledger import FEES_ID, WORLD_ID, Capture, HoldState, Operation, Post, apply
from backend.domain.money import AMOUNT_NANO_MAX
from tests.unit.domain.ledgers import (
    EARNINGS,
    EXPIRES_AT,
    SECOND_WALLET,
    UNKNOWN,
    WALLET,
    Ledger,
    batches,
    capture,
    codes,
    deposit,
    hold_id,
    opened,
    release,
    reserve,
    transfer,
)

PENDING, RESOLVED, ABSENT = 1, 2, 9  # holds of `opened()`


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        # Each line has every fault of its operation but those that the lines above it show.
        (Post(transfer(0, UNKNOWN, UNKNOWN)), "invalid_amount"),
        (Post(transfer(-1)), "invalid_amount"),
        (Post(transfer(AMOUNT_NANO_MAX + 1)), "invalid_amount"),
        (Post(transfer(1_000, UNKNOWN, UNKNOWN)), "same_account"),
        (Post(transfer(1_000, WALLET, UNKNOWN)), "unknown_ledger_account"),
        (Post(transfer(1_000, UNKNOWN, WALLET)), "unknown_ledger_account"),
        (Post(transfer(61)), "insufficient_funds"),
        (Post(transfer(60)), None),
        (Post(transfer(1, EARNINGS, WALLET)), "insufficient_funds"),
        (Post(transfer(1, FEES_ID, WALLET)), "insufficient_funds"),
        (Post(transfer(AMOUNT_NANO_MAX, WORLD_ID, WALLET)), None),
        (reserve(RESOLVED, 0, UNKNOWN), "invalid_amount"),
        (reserve(RESOLVED, AMOUNT_NANO_MAX + 1, UNKNOWN), "invalid_amount"),
        (reserve(RESOLVED, 1_000, UNKNOWN), "unknown_ledger_account"),
        (reserve(RESOLVED, 1_000), "hold_resolved"),
        (reserve(PENDING, 1_000), "hold_resolved"),
        (reserve(PENDING, 1), "hold_resolved"),
        (reserve(ABSENT, 61), "insufficient_funds"),
        (reserve(ABSENT, 60), None),
        (reserve(ABSENT, 1, EARNINGS), "insufficient_funds"),
        (capture(ABSENT, 0, credit=UNKNOWN), "invalid_amount"),
        (capture(ABSENT, 1_000, credit=WALLET), "same_account"),
        (capture(RESOLVED, 1_000, credit=UNKNOWN), "unknown_ledger_account"),
        (capture(ABSENT, 1_000), "unknown_hold"),
        (Capture(transfer(1_000)), "unknown_hold"),
        (capture(PENDING, 1_000, debit=SECOND_WALLET), "unknown_hold"),
        (capture(RESOLVED, 1_000, debit=SECOND_WALLET), "unknown_hold"),
        (capture(RESOLVED, 1_000), "hold_resolved"),
        (capture(PENDING, 41), "hold_exceeded"),
        (capture(PENDING, 40), None),
        (release(ABSENT), "unknown_hold"),
        (release(RESOLVED), "hold_resolved"),
        (release(PENDING), None),
    ],
)
def test_of_several_faults_the_first_in_the_documented_order_is_reported(
    operation: Operation, code: str | None
) -> None:
    assert codes(opened().do(operation)) == [code]


@settings(max_examples=150)
@given(batches)
def test_a_refused_operation_leaves_nothing_behind_and_does_not_sink_the_others(batch: Sequence[Operation]) -> None:
    start = opened()
    mixed = apply(batch, start.balances, start.holds)
    good = [operation for operation, error in zip(batch, mixed.outcomes, strict=True) if error is None]
    alone = apply(good, start.balances, start.holds)
    assert alone.outcomes == (None,) * len(good)
    assert (alone.transfers, alone.new_holds, alone.changed_holds, alone.balances) == (
        mixed.transfers,
        mixed.new_holds,
        mixed.changed_holds,
        mixed.balances,
    )


@given(batches)
def test_a_batch_does_what_its_operations_do_one_after_the_other(batch: Sequence[Operation]) -> None:
    together, singly = opened(), opened()
    outcomes = codes(together.do(*batch))
    assert outcomes == [codes(singly.do(operation))[0] for operation in batch]
    assert together == singly


@settings(max_examples=150)
@given(batches)
def test_money_is_conserved_and_only_the_world_owes(batch: Sequence[Operation]) -> None:
    ledger = opened()
    ledger.do(*batch)
    assert sum(balance.posted_nano for balance in ledger.balances.values()) == 0
    for account, balance in ledger.balances.items():
        assert balance.reserved_nano >= 0
        assert balance.available_nano >= 0 or account == WORLD_ID


@given(batches)
def test_what_is_given_to_apply_is_not_changed(batch: Sequence[Operation]) -> None:
    ledger = opened()
    balances, holds = deepcopy(ledger.balances), deepcopy(ledger.holds)
    apply(batch, ledger.balances, ledger.holds)
    assert (ledger.balances, ledger.holds) == (balances, holds)


def test_only_rows_that_changed_are_returned() -> None:
    ledger = opened()
    applied = ledger.do(reserve(3, 5), capture(PENDING, 1), release(RESOLVED), reserve(4, 1_000))
    assert {balance.account for balance in applied.balances} == {WALLET, EARNINGS}
    assert [hold.id for hold in applied.new_holds] == [hold_id(3)]
    assert [hold.id for hold in applied.changed_holds] == [hold_id(PENDING)]
    refused = ledger.do(release(RESOLVED), Post(transfer(1_000)))
    assert (refused.balances, refused.new_holds, refused.changed_holds, refused.transfers) == ((), (), (), ())


def test_two_captures_of_one_hold_cannot_exceed_it() -> None:
    ledger = opened()
    assert codes(ledger.do(capture(PENDING, 30), capture(PENDING, 11))) == [None, "hold_exceeded"]
    assert codes(ledger.do(capture(PENDING, 11), capture(PENDING, 10), capture(PENDING, 1))) == [
        "hold_exceeded",
        None,
        "hold_resolved",
    ]


def test_a_hold_ends_posted_if_anything_was_captured_and_else_as_its_release_says() -> None:
    ledger = Ledger()
    ledger.do(deposit(100), *(reserve(number, 10) for number in (1, 2, 3, 4)))
    ledger.do(capture(1, 10), capture(2, 3), release(2), release(3), release(4, HoldState.EXPIRED))
    states = [ledger.holds[hold_id(number)].state for number in (1, 2, 3, 4)]
    assert states == [HoldState.POSTED, HoldState.POSTED, HoldState.VOIDED, HoldState.EXPIRED]
    assert ledger.balances[WALLET].available_nano == 87
    assert ledger.holds[hold_id(1)].expires_at == EXPIRES_AT


def test_errors_carry_the_figures_that_they_are_about() -> None:
    ledger = opened()
    exceeded, poor, resolved = ledger.do(capture(PENDING, 41), reserve(5, 61), release(RESOLVED)).outcomes
    assert isinstance(exceeded, HoldExceeded)
    assert (exceeded.hold_id, exceeded.asked_nano, exceeded.left_nano) == (hold_id(PENDING), 41, 40)
    assert isinstance(poor, InsufficientFunds)
    assert (poor.account, poor.asked_nano, poor.available_nano) == (WALLET, 61, 60)
    assert isinstance(resolved, HoldResolved)
    assert (resolved.hold_id, resolved.state) == (hold_id(RESOLVED), HoldState.VOIDED)


def test_a_deposit_that_a_balance_could_not_hold_is_refused() -> None:
    ledger = opened()
    assert codes(ledger.do(*[deposit(AMOUNT_NANO_MAX)] * 8)) == [None] * 8
    assert codes(ledger.do(deposit(AMOUNT_NANO_MAX), deposit(1))) == ["invalid_amount", None]
