"""Operations on the ledger as they are: any number of them in one transaction, each done or refused by itself."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from backend.domain.errors import SwarmexError, TooLarge
from backend.domain.ids import HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import (
    Capture,
    Expire,
    Linked,
    Operation,
    Post,
    Raise,
    Release,
    Reserve,
    Reverse,
    Transfer,
    apply,
)
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork

OPERATIONS_MAX = 8_192


@patient
def post(uow: UnitOfWork, now: datetime, operations: Sequence[Operation | Linked]) -> list[SwarmexError | None]:
    """Do operations in order, in a constant number of statements; one outcome each, None where it was done.

    One bad operation is reported in its place and does not sink the others, unless it is linked with them.
    """
    if not 1 <= len(operations) <= OPERATIONS_MAX:
        raise TooLarge(
            f"{len(operations)} operations in one batch",
            code="invalid_batch_size",
            field="operations",
            accepted=f"1 to {OPERATIONS_MAX}",
        )
    if len(operations) == 1 and isinstance(operations[0], Post) and _at_once(uow, now, operations[0].transfer):
        return [None]
    single = list(_single(operations))
    transfers = [transfer for operation in single if (transfer := _transfer(operation))]
    with uow:
        posted = uow.ledger.lock_posted(_originals(single))
        holds = uow.ledger.lock_holds(_holds(single, transfers))
        accounts = uow.ledger.lock(others=_accounts(single, transfers) | {hold.account for hold in holds.values()})
        applied = apply(operations, accounts.balances, holds, posted)
        uow.ledger.write(applied, now)
        uow.commit()
    return list(applied.outcomes)


def _at_once(uow: UnitOfWork, now: datetime, transfer: Transfer) -> bool:
    """Post one transfer by one statement; False if it cannot be, and the domain has to say why."""
    with uow.single():
        return uow.ledger.post(transfer, now)


def _single(operations: Sequence[Operation | Linked]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, Linked):
            yield from operation.operations
        else:
            yield operation


def _transfer(operation: Operation) -> Transfer | None:
    return operation.transfer if isinstance(operation, Post | Capture | Reverse) else None


def _accounts(operations: Sequence[Operation], transfers: Sequence[Transfer]) -> set[LedgerAccountId]:
    named = {transfer.debit for transfer in transfers} | {transfer.credit for transfer in transfers}
    return named | {operation.account for operation in operations if isinstance(operation, Reserve)}


def _holds(operations: Sequence[Operation], transfers: Sequence[Transfer]) -> set[HoldId]:
    captured = {transfer.hold_id for transfer in transfers if transfer.hold_id}
    return captured | {o.hold_id for o in operations if isinstance(o, Raise | Release | Expire | Reserve)}


def _originals(operations: Sequence[Operation]) -> set[TransferId]:
    return {o.transfer.original_id for o in operations if isinstance(o, Reverse) and o.transfer.original_id}
