"""Traps that other ledgers fell into, one test each."""

import pytest

from backend.domain.ledger import CREDITS_ID, WORLD_ID, HoldState, Operation, Post
from tests.unit.domain.ledgers import (
    EARNINGS,
    SECOND_WALLET,
    WALLET,
    Ledger,
    capture,
    codes,
    deposit,
    expire,
    linked,
    more,
    pay,
    release,
    reserve,
    reverse,
    transfer,
)


def funded(nano: int = 100) -> Ledger:
    """Only the first wallet has money."""
    ledger = Ledger()
    ledger.do(deposit(nano))
    return ledger


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in batches of their own"])
def test_trap_holds_that_ignore_other_holds(together: bool) -> None:
    """What one hold has set aside is not there for another hold, for a raise or for a payment."""
    ledger = funded()
    wishes: list[Operation] = [reserve(1, 70), reserve(2, 31), reserve(3, 30), more(3, 1), pay(1)]
    outcomes = ledger.do(*wishes).outcomes if together else [ledger.do(wish).outcomes[0] for wish in wishes]
    assert [error and error.code for error in outcomes] == [
        None,
        "insufficient_funds",
        None,
        "insufficient_funds",
        "insufficient_funds",
    ]
    assert ledger.balances[WALLET].reserved_nano == 100


def test_trap_a_rejected_hold_still_committed() -> None:
    """A hold that was refused exists for nobody: nothing is set aside, captured or released for it."""
    ledger = funded()
    applied = ledger.do(reserve(1, 101), capture(1, 1), more(1, 1), release(1), expire(1))
    assert codes(applied) == ["insufficient_funds", *["unknown_hold"] * 4]
    assert (applied.new_holds, applied.balances, applied.transfers) == ((), (), ())
    assert codes(ledger.do(capture(1, 1))) == ["unknown_hold"]
    assert codes(ledger.do(reserve(1, 100))) == [None]


def test_trap_a_hold_rejected_with_its_group_still_committed() -> None:
    ledger = funded()
    assert codes(ledger.do(linked(reserve(1, 60), reserve(2, 60)), capture(1, 1))) == [
        "insufficient_funds",
        "unknown_hold",
    ]
    assert ledger.balances[WALLET].reserved_nano == 0
    assert ledger.holds == {}


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in batches of their own"])
@pytest.mark.parametrize("end", [release(1), release(1, HoldState.EXPIRED), expire(1)])
def test_trap_a_void_that_is_not_idempotent(end: Operation, together: bool) -> None:
    """Voided twice, money comes back once, and what was voided cannot be captured."""
    ledger = funded()
    ledger.do(reserve(1, 60), reserve(2, 40))
    outcomes = ledger.do(end, end).outcomes if together else [ledger.do(end).outcomes[0] for _ in range(2)]
    assert [error and error.code for error in outcomes] == [None, "hold_resolved"]
    assert codes(ledger.do(capture(1, 1), more(1, 1), reserve(1, 1))) == ["hold_resolved"] * 3
    assert (ledger.available(WALLET), ledger.balances[WALLET].reserved_nano) == (60, 40)


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in batches of their own"])
def test_trap_a_refund_that_is_not_idempotent(together: bool) -> None:
    """A charge goes back once, under whatever id the second attempt comes, although the payee could pay twice."""
    ledger = funded()
    charge = transfer(30, number=1)
    ledger.do(deposit(100, SECOND_WALLET), Post(charge), Post(transfer(100, SECOND_WALLET)))
    refunds = [reverse(charge, number=2), reverse(charge, number=2), reverse(charge, number=3)]
    outcomes = ledger.do(*refunds).outcomes if together else [ledger.do(refund).outcomes[0] for refund in refunds]
    assert [error and error.code for error in outcomes] == [None, "already_reversed", "already_reversed"]
    assert (ledger.available(WALLET), ledger.available(EARNINGS)) == (100, 100)


def test_trap_a_refund_that_its_payee_cannot_pay_makes_a_debt() -> None:
    """Earnings that were paid out do not go negative; the market's credits may give instead."""
    ledger = funded()
    charge = transfer(30, number=1)
    ledger.do(Post(charge), Post(transfer(25, EARNINGS, WORLD_ID)), Post(transfer(30, WORLD_ID, CREDITS_ID)))
    assert codes(ledger.do(reverse(charge))) == ["insufficient_funds"]
    assert codes(ledger.do(Post(transfer(30, CREDITS_ID, WALLET)))) == [None]
    assert ledger.available(WALLET) == 100
    assert codes(ledger.do(Post(transfer(1, CREDITS_ID, WALLET)))) == ["insufficient_funds"]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in batches of their own"])
def test_trap_a_capture_above_the_hold(together: bool) -> None:
    """Neither at once nor in steps nor after a part went back, although the wallet has enough besides."""
    ledger = funded()
    ledger.do(reserve(1, 50))
    steps: list[Operation] = [
        capture(1, 51),
        capture(1, 20),
        release(1, amount_nano=10),
        capture(1, 21),
        capture(1, 20),
    ]
    outcomes = ledger.do(*steps).outcomes if together else [ledger.do(step).outcomes[0] for step in steps]
    assert [error and error.code for error in outcomes] == ["hold_exceeded", None, None, "hold_exceeded", None]
    assert (ledger.available(EARNINGS), ledger.available(WALLET)) == (40, 60)


def test_trap_a_capture_from_the_wallet_of_somebody_else() -> None:
    ledger = funded()
    ledger.do(deposit(100, SECOND_WALLET), reserve(1, 50))
    assert codes(ledger.do(capture(1, 10, debit=SECOND_WALLET))) == ["unknown_hold"]
    assert codes(ledger.do(capture(1, 1), capture(1, 10, debit=SECOND_WALLET))) == [None, "unknown_hold"]
    assert ledger.available(SECOND_WALLET) == 100


def test_trap_a_hold_that_both_expires_and_is_captured() -> None:
    """Whichever comes first wins, and the other is refused."""
    first, second = funded(), funded()
    assert codes(first.do(reserve(1, 50), expire(1), capture(1, 50))) == [None, None, "hold_resolved"]
    assert codes(second.do(reserve(1, 50), capture(1, 50), expire(1))) == [None, None, "hold_resolved"]
    assert (first.available(WALLET), second.available(WALLET)) == (100, 50)
