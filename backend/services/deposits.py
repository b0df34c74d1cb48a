"""Money coming in from outside, each payment once."""

from dataclasses import dataclass
from datetime import datetime

from backend.domain.errors import Conflict, Invalid
from backend.domain.ids import AccountId, TransferId
from backend.domain.ledger import WORLD_ID, Post, Transfer, TransferKind, apply
from backend.services.accounts import find_account
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

REFERENCE_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class DepositView:
    """A deposit, and whether it had been booked before."""

    transfer_id: TransferId
    account_id: AccountId
    amount_nano: int
    reference: str
    available_nano: int
    repeated: bool


def deposit(uow: UnitOfWork, now: datetime, account_id: AccountId, amount_nano: int, reference: str) -> DepositView:
    """Book a payment under the reference that the payment system gave it.

    The same reference again changes nothing; with another amount or account it raises Conflict(`reference_reused`).
    """
    if not (1 <= len(reference) <= REFERENCE_CHARS_MAX and reference.isprintable()):
        raise Invalid(
            "the reference cannot be used",
            code="invalid_reference",
            field="reference",
            accepted=f"1 to {REFERENCE_CHARS_MAX} printable characters",
        )
    with uow:
        find_account(uow, account_id)
        accounts = uow.ledger.lock(wallets_of=[account_id], others=[WORLD_ID])
        wallet = accounts.wallets[account_id]
        found = uow.ledger.transfer_with_reference(reference)
        if found and (found.credit, found.amount_nano) != (wallet, amount_nano):
            raise Conflict(
                f"reference {reference} was booked with another amount or account",
                code="reference_reused",
                field="reference",
                accepted="a reference of its own for each payment",
            )
        if found is None:
            transfer = Transfer(
                TransferId(new_id()), TransferKind.DEPOSIT, WORLD_ID, wallet, amount_nano, reference=reference
            )
            applied = apply([Post(transfer)], accounts.balances)
            if applied.outcomes[0]:
                raise applied.outcomes[0]
            uow.ledger.write(applied, now)
        available = uow.ledger.lock(wallets_of=[account_id]).balances[wallet].available_nano
        uow.commit()
    return DepositView(
        found.id if found else transfer.id,
        account_id,
        amount_nano,
        reference,
        available,
        repeated=found is not None,
    )
