"""Of several faults the first in the documented order is reported: every combination of faults, for each operation."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from backend.domain.ledger import (
    WORLD_ID,
    AccountKind,
    Balance,
    Capture,
    Expire,
    Hold,
    HoldState,
    Operation,
    Post,
    Posted,
    Raise,
    Release,
    Reserve,
    Reverse,
    Transfer,
    TransferKind,
    apply,
    mirror,
)
from backend.domain.ledger.checks import BALANCE_NANO_MAX
from backend.domain.money import AMOUNT_NANO_MAX
from tests.unit.domain.ledgers import (
    ABSENT,
    EARNINGS,
    EXPIRES_AT,
    PENDING,
    RESOLVED,
    SECOND_WALLET,
    UNKNOWN,
    WALLET,
    Ledger,
    account_id,
    codes,
    hold_id,
    linked,
    opened,
    transfer_id,
)

ORDER = [
    "invalid_amount",
    "same_account",
    "unknown_ledger_account",
    "unknown_hold",
    "unknown_transfer",
    "hold_resolved",
    "already_reversed",
    "hold_exceeded",
    "hold_not_due",
    "not_reversible",
    "too_large",  # for a balance or a hold: its code is `invalid_amount` as well
    "insufficient_funds",
]

FULL, POOR = account_id(10), account_id(11)  # has all that an account can have; has nothing
NOBODY = account_id(98)  # unknown as well, but not the same as `UNKNOWN`
ORPHAN, RESOLVED_ORPHAN = 5, 6  # holds of an account that is not locked
OPEN, REVERSED, REVERSAL, NEVER = (transfer_id(number) for number in (201, 202, 203, 204))
SAME = None  # the other party again

Choice = tuple[Any, str | None]  # a value of a field, and the fault that it is
AMOUNTS: list[Choice] = [
    (10, None),
    (0, "invalid_amount"),
    (-1, "invalid_amount"),
    (AMOUNT_NANO_MAX + 1, "invalid_amount"),
]
TOO_MUCH: Choice = (1_000, "insufficient_funds")
HOLDS: list[Choice] = [
    (PENDING, None),
    (ABSENT, "unknown_hold"),
    (RESOLVED, "hold_resolved"),
    (ORPHAN, "unknown_ledger_account"),
    (RESOLVED_ORPHAN, "unknown_ledger_account"),
]


def post(amount: int, debit: Any, credit: Any) -> Operation:
    return Post(Transfer(transfer_id(1), TransferKind.CHARGE, debit, debit if credit is SAME else credit, amount))


def reserve(amount: int, account: Any, hold: int) -> Operation:
    return Reserve(hold_id(hold), account, amount, EXPIRES_AT)


def more(amount: int, hold: int) -> Operation:
    return Raise(hold_id(hold), amount)


def capture(amount: int, debit: Any, credit: Any, hold: int | None) -> Operation:
    named = None if hold is None else hold_id(hold)
    to = debit if credit is SAME else credit
    return Capture(Transfer(transfer_id(1), TransferKind.CHARGE, debit, to, amount, named))


def release(amount: int | None, hold: int) -> Operation:
    return Release(hold_id(hold), amount_nano=amount)


def expire(early: timedelta, hold: int) -> Operation:
    return Expire(hold_id(hold), EXPIRES_AT - early)


def reverse(amount: int, payer: Any, payee: Any, original: Any) -> Operation:
    paid_back = Transfer(
        transfer_id(2),
        TransferKind.REVERSAL,
        payee,
        payee if payer is SAME else payer,
        amount,
        original_id=original,
    )
    return Reverse(paid_back)


TABLE: dict[Callable[..., Operation], list[list[Choice]]] = {
    post: [
        [*AMOUNTS, TOO_MUCH],
        [(WALLET, None), (UNKNOWN, "unknown_ledger_account"), (POOR, "insufficient_funds")],
        [(EARNINGS, None), (SAME, "same_account"), (NOBODY, "unknown_ledger_account"), (FULL, "too_large")],
    ],
    reserve: [
        [*AMOUNTS, TOO_MUCH],
        [(WALLET, None), (UNKNOWN, "unknown_ledger_account"), (POOR, "insufficient_funds")],
        [(ABSENT, None), (PENDING, "hold_resolved"), (RESOLVED, "hold_resolved")],
    ],
    more: [[*AMOUNTS, TOO_MUCH, (AMOUNT_NANO_MAX - 39, "too_large")], HOLDS],
    capture: [
        [*AMOUNTS, (41, "hold_exceeded")],
        [(WALLET, None), (UNKNOWN, "unknown_ledger_account"), (SECOND_WALLET, "unknown_hold")],
        [(EARNINGS, None), (SAME, "same_account"), (NOBODY, "unknown_ledger_account")],
        [(PENDING, None), (None, "unknown_hold"), (ABSENT, "unknown_hold"), (RESOLVED, "hold_resolved")],
    ],
    release: [[*AMOUNTS, (None, None), (41, "hold_exceeded")], HOLDS],
    expire: [[(timedelta(0), None), (timedelta(microseconds=1), "hold_not_due")], HOLDS],
    reverse: [
        [*AMOUNTS, (9, "not_reversible")],
        [(WALLET, None), (SAME, "same_account"), (NOBODY, "unknown_ledger_account"), (FULL, "too_large")],
        [(EARNINGS, None), (UNKNOWN, "unknown_ledger_account"), (POOR, "insufficient_funds")],
        [
            (OPEN, None),
            (None, "unknown_transfer"),
            (NEVER, "unknown_transfer"),
            (REVERSED, "already_reversed"),
            (REVERSAL, "not_reversible"),
        ],
    ],
}


def books() -> Ledger:
    ledger = opened()
    ledger.balances[FULL] = Balance(FULL, AccountKind.WALLET, BALANCE_NANO_MAX, 0)
    ledger.balances[POOR] = Balance(POOR, AccountKind.EARNINGS, 0, 0)
    ledger.holds[hold_id(ORPHAN)] = Hold(hold_id(ORPHAN), UNKNOWN, 40, 0, 0, HoldState.PENDING, EXPIRES_AT)
    ledger.holds[hold_id(RESOLVED_ORPHAN)] = replace(
        ledger.holds[hold_id(RESOLVED)], id=hold_id(RESOLVED_ORPHAN), account=UNKNOWN
    )
    return ledger


def posted(operation: Operation) -> dict[Any, Posted]:
    """Earlier transfers that the reversal in hand would undo, if they could be."""
    if not isinstance(operation, Reverse):
        return {}
    undo = operation.transfer
    paid = Transfer(OPEN, TransferKind.CHARGE, undo.credit, undo.debit, 10, hold_id(RESOLVED))
    return {
        OPEN: Posted(paid, False),
        REVERSED: Posted(replace(paid, id=REVERSED), True),
        REVERSAL: Posted(replace(paid, id=REVERSAL, kind=TransferKind.REVERSAL, original_id=OPEN), False),
    }


def combinations(build: Callable[..., Operation]) -> Iterator[tuple[Operation, str | None]]:
    """Every choice of every field, with the first of its faults."""
    for choices in product(*TABLE[build]):
        faults = [fault for _, fault in choices if fault]
        yield build(*(value for value, _ in choices)), min(faults, key=ORDER.index, default=None)


@pytest.mark.parametrize("build", TABLE, ids=lambda build: build.__name__)
def test_of_several_faults_the_first_in_the_documented_order_is_reported(build: Callable[..., Operation]) -> None:
    ledger = books()
    for operation, fault in combinations(build):
        applied = apply([operation], ledger.balances, ledger.holds, posted(operation))
        assert codes(applied) == ["invalid_amount" if fault == "too_large" else fault], operation


@pytest.mark.parametrize("build", TABLE, ids=lambda build: build.__name__)
def test_a_bad_operation_is_reported_by_its_index_and_sinks_only_those_that_it_is_linked_to(
    build: Callable[..., Operation],
) -> None:
    ledger = books()
    good = Post(Transfer(transfer_id(3), TransferKind.DEPOSIT, WORLD_ID, WALLET, 1))
    for operation, fault in combinations(build):
        earlier = posted(operation)
        loose = apply([good, operation, good], ledger.balances, ledger.holds, earlier)
        assert [index for index, error in enumerate(loose.outcomes) if error] == ([1] if fault else [])
        assert loose.transfers.count(good.transfer) == 2
        group = apply([good, linked(good, operation, good), good], ledger.balances, ledger.holds, earlier)
        assert [index for index, error in enumerate(group.outcomes) if error] == ([1] if fault else [])
        assert group.transfers.count(good.transfer) == (2 if fault else 4)
        assert fault is None or (group.new_holds, group.changed_holds) == ((), ())


def test_a_true_mirror_is_what_the_table_calls_one() -> None:
    operation = reverse(10, WALLET, EARNINGS, OPEN)
    assert isinstance(operation, Reverse)
    assert operation.transfer == mirror(posted(operation)[OPEN].transfer, operation.transfer.id)
