"""Money coming in from outside, each payment once."""

from dataclasses import dataclass
from datetime import datetime

from backend.domain.access import Principal
from backend.domain.errors import Conflict
from backend.domain.ids import AccountId, TransferId
from backend.domain.ledger import WORLD_ID, Post, Transfer, TransferKind, apply
from backend.domain.references import check_reference
from backend.services.accounts import find_account
from backend.services.log import record
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class DepositView:
    """A deposit, and whether it had been booked before."""

    transfer_id: TransferId
    account_id: AccountId
    amount_nano: int
    reference: str
    available_nano: int
    repeated: bool


@patient
def deposit(
    uow: UnitOfWork,
    now: datetime,
    account_id: AccountId,
    amount_nano: int,
    reference: str,
    principal: Principal | None = None,
) -> DepositView:
    """Book a payment under the reference that the payment system gave it.

    The same reference again changes nothing; with another amount or account it raises Conflict(`reference_reused`).
    """
    check_reference(reference)
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
        if found is None:
            uow.budgets.set_baseline(account_id, available, now)
            facts = {"transfer": transfer.id, "amount_nano": amount_nano, "reference": reference}
            record(uow, now, principal, "deposit.book", f"account {account_id}", **facts)
        uow.commit()
    return DepositView(
        found.id if found else transfer.id,
        account_id,
        amount_nano,
        reference,
        available,
        repeated=found is not None,
    )
