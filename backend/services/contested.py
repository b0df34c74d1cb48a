"""The money of a disputed order: withheld while it is contested, then given back or restored. In the caller's unit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.domain.corrections import Paid, PayeeShort, charges_by_payee, correction, paid
from backend.domain.disputes import Dispute, shares
from backend.domain.errors import InsufficientFunds
from backend.domain.ids import DisputeId, LedgerAccountId, OrderId
from backend.domain.ledger import CREDITS_ID, Books, Post, Transfer, TransferKind
from backend.services.corrections import attempt, new_transfer_id, pay_from_fund, uncharge
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Case:
    """An open dispute, its order, which is locked, and all transfers of that."""

    dispute: Dispute
    order: Order
    transfers: Sequence[Transfer]

    @property
    def withheld(self) -> list[Transfer]:
        """What was withheld when it was opened."""
        return [t for t in self.transfers if (t.reference or "").startswith(_reference(self.dispute.id))]


def withhold_charges(
    uow: UnitOfWork, now: datetime, dispute_id: DisputeId, order_id: OrderId, pairs: Sequence[Paid]
) -> int:
    """Set aside what providers still have of an order's charges; returns how much, in nano-credits."""
    owed = charges_by_payee(pairs)
    owners = uow.statements.owners(owed)
    accounts = uow.ledger.lock(earnings_of=owners.values(), withheld_of=owners.values())
    books, withheld = Books(accounts.balances), 0
    for number, (earnings, owner) in enumerate(sorted(owners.items())):
        amount = min(owed[earnings], accounts.balances[earnings].available_nano)
        if amount:
            held = Transfer(
                new_transfer_id(),
                TransferKind.WITHHOLD,
                earnings,
                accounts.withheld[owner],
                amount,
                order_id=order_id,
                reference=f"{_reference(dispute_id)}{number}",
            )
            books.do(Post(held))
            withheld += amount
    uow.ledger.write(books.applied([]), now)
    return withheld


def restore_charges(uow: UnitOfWork, now: datetime, case: Case) -> None:
    """Let providers have what was withheld."""
    books = Books(uow.ledger.lock(others=_parties(case.withheld)).balances)
    _restore(books, case)
    uow.ledger.write(books.applied([]), now)


def give_back(uow: UnitOfWork, now: datetime, case: Case, amount_nano: int, from_fund: bool) -> None:
    """Correct every charge of the order by its share of an amount, with what was withheld at hand.

    Raises PayeeShort for what a payee has not any more, unless the credits fund is to pay that.
    """
    pairs = paid(case.transfers)
    parts = [part for pair in pairs for part in pair.transfers]
    posted = uow.ledger.lock_posted([part.id for part in parts])
    touched = _parties([*parts, *case.withheld]) | ({CREDITS_ID} if from_fund else set())
    books = Books(uow.ledger.lock(others=touched).balances, posted=posted)
    _restore(books, case)
    missing = 0
    for pair, share in zip(pairs, shares([pair.amount_nano for pair in pairs], amount_nano), strict=True):
        if not share:
            continue
        ways = correction(pair, pair.amount_nano - share, case.order.fee_ppm, new_transfer_id)
        refused = attempt(books, ways)
        if isinstance(refused, InsufficientFunds):
            if not from_fund:
                raise PayeeShort(refused)
            missing += share
        elif refused:
            raise refused
    if missing:
        pay_from_fund(books, parts[0], missing, f"{_reference(case.dispute.id)}refund")
    applied = books.applied([])
    uow.ledger.write(applied, now)
    uncharge(uow, case.order, applied.transfers)


def _restore(books: Books, case: Case) -> None:
    for held in case.withheld:
        back = Transfer(
            new_transfer_id(),
            TransferKind.RESTORE,
            held.credit,
            held.debit,
            held.amount_nano,
            order_id=held.order_id,
        )
        books.do(Post(back))


def _parties(transfers: Iterable[Transfer]) -> set[LedgerAccountId]:
    return {account for transfer in transfers for account in (transfer.debit, transfer.credit)}


def _reference(dispute_id: DisputeId) -> str:
    """What references of a dispute's transfers begin with."""
    return f"dispute {dispute_id} "
