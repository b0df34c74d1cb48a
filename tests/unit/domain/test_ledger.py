"""Double entry: what one batch of operations does, and what a refused one leaves behind."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import timedelta

import pytest
from hypothesis import given, settings

from backend.domain.errors import HoldExceeded, HoldResolved, InsufficientFunds
from backend.domain.ids import OrderId
from backend.domain.ledger import (
    BALANCE_NANO_MAX,
    WORLD_ID,
    Applied,
    Books,
    HoldState,
    Linked,
    Operation,
    Post,
    Transfer,
    TransferKind,
    apply,
    mirror,
)
from backend.domain.money import AMOUNT_NANO_MAX
from tests.unit.domain.ledger_batches import batches
from tests.unit.domain.ledgers import (
    ABSENT,
    EARNINGS,
    EXPIRES_AT,
    PAID,
    PENDING,
    RESOLVED,
    WALLET,
    Ledger,
    account_id,
    capture,
    codes,
    deposit,
    expire,
    hold_id,
    more,
    opened,
    pay,
    release,
    reserve,
    reverse,
    transfer,
    transfer_id,
)


def rows(applied: Applied) -> tuple[object, ...]:
    """What is to be written, in any order."""
    return (
        applied.transfers,
        frozenset(applied.balances),
        frozenset(applied.new_holds),
        frozenset(applied.changed_holds),
    )


@settings(max_examples=150)
@given(batches)
def test_a_refused_operation_leaves_nothing_behind_and_does_not_sink_the_others(
    batch: Sequence[Operation | Linked],
) -> None:
    start = opened()
    mixed = apply(batch, start.balances, start.holds, start.posted)
    good = [operation for operation, error in zip(batch, mixed.outcomes, strict=True) if error is None]
    alone = apply(good, start.balances, start.holds, start.posted)
    assert alone.outcomes == (None,) * len(good)
    assert rows(alone) == rows(mixed)


@given(batches)
def test_a_batch_does_what_its_operations_do_one_after_the_other(batch: Sequence[Operation | Linked]) -> None:
    together, singly = opened(), opened()
    outcomes = codes(together.do(*batch))
    assert outcomes == [codes(singly.do(operation))[0] for operation in batch]
    assert together == singly


@given(batches)
def test_a_group_that_is_done_does_what_its_operations_do_without_it(batch: Sequence[Operation | Linked]) -> None:
    grouped, loose = opened(), opened()
    for operation, error in zip(batch, grouped.do(*batch).outcomes, strict=True):
        if error is None:
            parts = operation.operations if isinstance(operation, Linked) else (operation,)
            assert codes(loose.do(*parts)) == [None] * len(parts)
    assert grouped == loose


@settings(max_examples=150)
@given(batches)
def test_money_is_conserved_and_only_the_world_owes(batch: Sequence[Operation | Linked]) -> None:
    ledger = opened()
    ledger.do(*batch)
    assert sum(balance.posted_nano for balance in ledger.balances.values()) == 0
    for account, balance in ledger.balances.items():
        assert balance.reserved_nano >= 0
        assert balance.available_nano >= 0 or account == WORLD_ID


@given(batches)
def test_what_is_given_to_apply_is_not_changed(batch: Sequence[Operation | Linked]) -> None:
    ledger = opened()
    posted = ledger.posted
    before = deepcopy((ledger.balances, ledger.holds, posted))
    apply(batch, ledger.balances, ledger.holds, posted)
    assert (ledger.balances, ledger.holds, posted) == before


def test_books_say_why_by_raising_or_by_returning() -> None:
    books = Books(opened().balances)
    with pytest.raises(InsufficientFunds):
        books.do(reserve(ABSENT, 1_000))
    assert isinstance(books.attempt(reserve(ABSENT, 1_000)), InsufficientFunds)
    assert books.attempt(reserve(ABSENT, 60)) is None
    assert [hold.amount_nano for hold in books.applied([None]).new_holds] == [60]


def test_only_rows_that_changed_are_returned() -> None:
    ledger = opened()
    applied = ledger.do(reserve(3, 5), capture(PENDING, 1), release(RESOLVED), reserve(4, 1_000))
    assert {balance.account for balance in applied.balances} == {WALLET, EARNINGS}
    assert [hold.id for hold in applied.new_holds] == [hold_id(3)]
    assert [hold.id for hold in applied.changed_holds] == [hold_id(PENDING)]
    refused = ledger.do(release(RESOLVED), pay(1_000), capture(PENDING, 1_000))
    assert (refused.balances, refused.new_holds, refused.changed_holds, refused.transfers) == ((), (), (), ())


def test_a_balance_that_is_back_where_it_was_needs_no_writing() -> None:
    applied = opened().do(reserve(3, 5), release(3))
    assert applied.balances == ()
    assert [hold.state for hold in applied.new_holds] == [HoldState.VOIDED]


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
    ledger.do(deposit(100), *(reserve(number, 10) for number in range(1, 7)))
    ledger.do(capture(1, 10), capture(2, 3), release(2), release(3), release(4, HoldState.EXPIRED))
    ledger.do(expire(5), capture(6, 1), expire(6))
    assert [ledger.hold(number).state for number in range(1, 7)] == [
        HoldState.POSTED,
        HoldState.POSTED,
        HoldState.VOIDED,
        HoldState.EXPIRED,
        HoldState.EXPIRED,
        HoldState.POSTED,
    ]
    assert ledger.available(WALLET) == 86
    assert ledger.hold(1).expires_at == EXPIRES_AT


def test_a_part_of_a_hold_goes_back_and_the_rest_can_still_be_captured() -> None:
    ledger = opened()
    assert codes(ledger.do(release(PENDING, amount_nano=15))) == [None]
    assert (ledger.hold(PENDING).left_nano, ledger.hold(PENDING).state) == (25, HoldState.PENDING)
    assert ledger.available(WALLET) == 75
    assert codes(ledger.do(capture(PENDING, 26), capture(PENDING, 24))) == ["hold_exceeded", None]
    assert codes(ledger.do(release(PENDING, amount_nano=1))) == [None]
    assert (ledger.hold(PENDING).released_nano, ledger.hold(PENDING).state) == (16, HoldState.POSTED)


def test_a_hold_can_be_raised_by_what_its_account_has_available() -> None:
    ledger = opened()
    assert codes(ledger.do(more(PENDING, 61), more(PENDING, 60), capture(PENDING, 100))) == [
        "insufficient_funds",
        None,
        None,
    ]
    assert (ledger.hold(PENDING).amount_nano, ledger.available(WALLET)) == (100, 0)


def test_a_hold_expires_at_its_time_and_not_before() -> None:
    ledger = opened()
    assert codes(ledger.do(expire(PENDING, EXPIRES_AT - timedelta(microseconds=1)))) == ["hold_not_due"]
    assert ledger.hold(PENDING).state is HoldState.PENDING
    assert codes(ledger.do(expire(PENDING), expire(PENDING))) == [None, "hold_resolved"]
    assert ledger.available(WALLET) == 100


def test_an_operation_on_a_hold_whose_account_is_not_locked_changes_nothing() -> None:
    ledger = opened()
    others = {account: balance for account, balance in ledger.balances.items() if account != WALLET}
    for operation in (release(PENDING), release(PENDING, amount_nano=1), expire(PENDING), more(PENDING, 1)):
        applied = apply([operation], others, ledger.holds)
        assert codes(applied) == ["unknown_ledger_account"]
        assert applied.changed_holds == ()


def test_the_mirror_of_a_transfer_moves_the_same_money_back_and_names_it() -> None:
    original = Transfer(
        transfer_id(1),
        TransferKind.CHARGE,
        WALLET,
        EARNINGS,
        7,
        hold_id(1),
        OrderId(transfer_id(2)),
        "ref",
        transfer_id(3),
    )
    assert mirror(original, transfer_id(4)) == Transfer(
        transfer_id(4),
        TransferKind.REVERSAL,
        EARNINGS,
        WALLET,
        7,
        order_id=OrderId(transfer_id(2)),
        original_id=transfer_id(1),
    )


def test_a_reversal_cannot_be_reversed() -> None:
    ledger = opened()
    assert codes(ledger.do(reverse(PAID, number=1))) == [None]
    undone = ledger.transfers[-1]
    assert codes(ledger.do(reverse(undone, number=2))) == ["not_reversible"]


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


def test_a_reversal_that_a_balance_could_not_hold_is_refused() -> None:
    """The world owes all that it may, then a payout comes back."""
    ledger, owner = Ledger(), account_id(3)
    paid_out = [transfer(AMOUNT_NANO_MAX, owner, WORLD_ID, number=number) for number in (21, 22)]
    assert codes(ledger.do(*[deposit(AMOUNT_NANO_MAX)] * 9, *[pay(AMOUNT_NANO_MAX)] * 2)) == [None] * 11
    assert codes(ledger.do(*[Post(payout) for payout in paid_out])) == [None] * 2
    assert codes(ledger.do(*[deposit(AMOUNT_NANO_MAX)] * 2)) == [None] * 2
    assert ledger.balances[WORLD_ID].posted_nano == -BALANCE_NANO_MAX
    assert codes(ledger.do(reverse(paid_out[0]))) == ["invalid_amount"]
