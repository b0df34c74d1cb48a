"""Corrections of what is in the books: reversals, and charges replaced by smaller ones. Nothing is ever changed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.corrections import FundShort, Paid, PayeeShort, check_reason, correction, paid, standing_nano
from backend.domain.errors import Conflict, InsufficientFunds, Invalid, NotFound, SwarmexError
from backend.domain.idempotency import Idempotency
from backend.domain.ids import LedgerAccountId, TransferId
from backend.domain.ledger import CREDITS_ID, Books, Linked, Post, Reverse, Transfer, TransferKind, mirror
from backend.domain.money import format_credits
from backend.services import log
from backend.services.idempotency import once
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.order_rows import Order
from backend.storage.orders import Settled
from backend.storage.unit_of_work import UnitOfWork

_BILLED = (TransferKind.CHARGE, TransferKind.FEE)


@dataclass(frozen=True, slots=True)
class Correction:
    """What was corrected: the transfers that did it, and how much the credits fund paid in a payee's stead."""

    transfers: list[Transfer]
    from_fund_nano: int


@patient
def reverse(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    transfer_id: TransferId,
    reason: str,
    with_fee: bool = False,
    from_fund: bool = False,
    idempotency: Idempotency | None = None,
) -> Correction:
    """Undo a transfer, whole and once; of a charge also the fee that was taken on it, if asked.

    Raises Forbidden, NotFound, Conflict(`already_reversed`), Invalid(`not_reversible`), or PayeeShort when whoever was
    paid has less left: with `from_fund`, the buyer of a charge or fee is then paid by the credits fund instead.
    """
    principal.require(Role.ADMIN)
    check_reason(reason)

    def do() -> Correction:
        transfer, order = _lock(uow, transfer_id)
        _check_reversible(transfer, with_fee, from_fund)
        pair = Paid(transfer, None)
        if transfer.kind in _BILLED:
            payment = _payment(uow, transfer)
            pair = payment if with_fee else pair
        whole = Linked(tuple(Reverse(mirror(part, new_transfer_id())) for part in pair.transfers))
        return _correct(uow, now, principal, "transfer.reverse", reason, transfer, order, pair, [whole], from_fund, 0)

    return _once(uow, now, principal, idempotency, do)


@patient
def replace_charge(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    transfer_id: TransferId,
    amount_nano: int,
    reason: str,
    from_fund: bool = False,
    idempotency: Idempotency | None = None,
) -> Correction:
    """Make what an order was charged at once, fee included, `amount_nano`: reversed, and charged anew with its fee.

    Raises as `reverse` does, and Invalid(`invalid_amount`) unless the amount is smaller than it was.
    """
    principal.require(Role.ADMIN)
    check_reason(reason)

    def do() -> Correction:
        transfer, order = _lock(uow, transfer_id)
        if order is None or transfer.kind not in _BILLED:
            raise Invalid(
                f"a {transfer.kind} cannot be replaced",
                code="not_replaceable",
                field="transfer",
                accepted="a charge of an order; usage is rated anew by its price",
            )
        pair = _payment(uow, transfer)
        if not 0 < amount_nano < pair.amount_nano:
            raise Invalid(
                f"{format_credits(amount_nano)} credits instead of {format_credits(pair.amount_nano)}",
                code="invalid_amount",
                field="amount",
                accepted=f"less than {format_credits(pair.amount_nano)} credits; reverse it for nothing at all",
            )
        ways = correction(pair, amount_nano, order.fee_ppm, new_transfer_id)
        return _correct(
            uow, now, principal, "transfer.replace", reason, transfer, order, pair, ways, from_fund, amount_nano
        )

    return _once(uow, now, principal, idempotency, do)


def new_transfer_id() -> TransferId:
    """The id of a transfer to be made."""
    return TransferId(new_id())


def attempt(books: Books, ways: Sequence[Linked]) -> SwarmexError | None:
    """Do the first of several ways of the same that can be done; else why the first cannot."""
    refused = None
    for way in ways:
        error = books.attempt(way)
        if error is None:
            return None
        refused = refused or error
    return refused


def pay_from_fund(books: Books, transfer: Transfer, amount_nano: int, reference: str) -> None:
    """Let the credits fund pay the payer of a transfer whose payee has nothing left; raises FundShort.

    `reference` keeps it from being done twice.
    """
    refund = Transfer(
        new_transfer_id(),
        TransferKind.REFUND,
        CREDITS_ID,
        transfer.debit,
        amount_nano,
        order_id=transfer.order_id,
        reference=reference,
    )
    try:
        books.do(Post(refund))
    except InsufficientFunds as error:
        raise FundShort(error) from None


def uncharge(uow: UnitOfWork, order: Order, transfers: Iterable[Transfer]) -> None:
    """Record what an order, which is locked, was charged after these reversals and new charges of its transfers."""
    change = sum(t.amount_nano if t.kind in _BILLED else -t.amount_nano for t in transfers if t.original_id)
    if change:
        uow.orders.write_settled(
            [Settled(order.id, order.state, order.reason, order.charged_nano + change, order.closed_at)]
        )


def _once(
    uow: UnitOfWork, now: datetime, principal: Principal, idempotency: Idempotency | None, do: Callable[[], Correction]
) -> Correction:
    with uow:
        done = once(uow, principal.account_id, idempotency, now, Correction, do)
        uow.commit()
    return done


def _lock(uow: UnitOfWork, transfer_id: TransferId) -> tuple[Transfer, Order | None]:
    """The transfer, with its order locked; raises NotFound, or Conflict(`order_disputed`)."""
    entry = uow.statements.entry(transfer_id)
    if entry is None:
        raise NotFound("transfer", transfer_id)
    order_id = entry.transfer.order_id
    order = uow.orders.find(order_id, for_update=True) if order_id else None
    uow.ledger.lock_posted([transfer_id])
    if order and uow.disputes.open_of(order.id):
        raise Conflict(
            f"order {order.id} is disputed",
            code="order_disputed",
            field="transfer",
            accepted="to uphold or reject the dispute: it does the same",
        )
    return entry.transfer, order


def _check_reversible(transfer: Transfer, with_fee: bool, from_fund: bool) -> None:
    kind, accepted = transfer.kind, None
    if kind in (TransferKind.WITHHOLD, TransferKind.RESTORE):
        accepted = "to resolve its dispute: what is withheld is restored then"
    elif with_fee and kind is not TransferKind.CHARGE:
        accepted = "with its fee only a charge"
    elif from_fund and kind not in _BILLED:
        accepted = "from the credits fund only a charge or a fee"
    if accepted:
        raise Invalid(f"a {kind} cannot be reversed so", code="not_reversible", field="transfer", accepted=accepted)


def _payment(uow: UnitOfWork, transfer: Transfer) -> Paid:
    """Charge and fee of which a transfer is one, as far as they stand; raises Conflict(`already_reversed`)."""
    for pair in paid(uow.statements.kin(transfer.id)):
        if transfer in pair.transfers and not any(
            uow.ledger.transfer_with_reference(fund_reference(part)) for part in pair.transfers
        ):
            return pair
    raise Conflict(
        f"transfer {transfer.id} was reversed before",
        code="already_reversed",
        field="transfer",
        accepted="a transfer that stands",
    )


def _correct(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    action: str,
    reason: str,
    transfer: Transfer,
    order: Order | None,
    pair: Paid,
    ways: Sequence[Linked],
    from_fund: bool,
    left_nano: int,
) -> Correction:
    posted = uow.ledger.lock_posted([part.id for part in pair.transfers])
    touched: set[LedgerAccountId] = {CREDITS_ID} if from_fund else set()
    for part in pair.transfers:
        touched |= {part.debit, part.credit}
    balances = uow.ledger.lock(others=touched).balances
    books = Books(balances, posted=posted)
    refused = attempt(books, ways)
    missing = 0
    if isinstance(refused, InsufficientFunds) and transfer.kind in _BILLED:
        if not from_fund:
            raise PayeeShort(refused)
        missing = pair.amount_nano - left_nano
        pay_from_fund(books, transfer, missing, fund_reference(pair.transfers[0]))
    elif refused:
        if isinstance(refused, InsufficientFunds):
            refused.field, refused.accepted = "transfer", "a transfer whose payee has the money still"
        raise refused
    if order and transfer.kind in _BILLED:
        _check_standing(uow, order, pair.amount_nano - left_nano)
    applied = books.applied([])
    uow.ledger.write(applied, now)
    if order and transfer.kind in _BILLED:
        uncharge(uow, order, applied.transfers)
    elif transfer.kind in _BILLED:  # usage is charged without an order
        uow.metering.void_charged_by([part.id for part in pair.transfers])
    elif transfer.kind is TransferKind.PAYOUT and transfer.hold_id:
        uow.payouts.give_back(transfer.hold_id, now, reason)
    log.record(
        uow,
        now,
        principal,
        action,
        f"transfer {transfer.id}",
        reason=reason,
        transfers=[t.id for t in applied.transfers],
        from_fund_nano=missing,
    )
    return Correction(list(applied.transfers), missing)


def _check_standing(uow: UnitOfWork, order: Order, back_nano: int) -> None:
    """Nobody gets back more for an order than was paid for it, the credits fund's refunds included."""
    standing = standing_nano(uow.ledger.transfers_of_order(order.id))
    if back_nano > standing:
        raise Conflict(
            f"{format_credits(standing)} credits of order {order.id} were not given back yet",
            code="already_refunded",
            field="transfer",
            accepted="to reverse the refund first",
        )


def fund_reference(transfer: Transfer) -> str:
    """What marks the fund's refund of a transfer, so that there is one at most."""
    return f"instead of reversing {transfer.id}"
