"""Payouts: a provider asks for its earnings, an admin approves and posts them; until then they are held."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.corrections import check_reason
from backend.domain.errors import Conflict, InsufficientFunds, Invalid, NotFound, unknown_choice
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId, HoldId, PayoutId, TransferId
from backend.domain.ledger import WORLD_ID, Books, Capture, Release, Reserve, Transfer, TransferKind
from backend.domain.payouts import PAYOUT_HOLD, NotEarned, Payout, PayoutState, check_request
from backend.domain.references import check_reference
from backend.services import log
from backend.services.accounts import find_account
from backend.services.idempotency import once
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500


@patient
def request_payout(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    amount_nano: int,
    destination: str,
    idempotency: Idempotency | None = None,
) -> Payout:
    """Ask for a part of the caller's earnings, which is held from now on; raises InsufficientFunds above them."""
    check_request(amount_nano, destination)
    principal.require(Role.PROVIDER)

    def do() -> Payout:
        find_account(uow, principal.account_id)
        payout = Payout(
            PayoutId(new_id()),
            principal.account_id,
            amount_nano,
            PayoutState.REQUESTED,
            HoldId(new_id()),
            destination,
            now,
        )
        accounts = uow.ledger.lock(earnings_of=[payout.account_id])
        earnings = accounts.earnings[payout.account_id]
        books = Books(accounts.balances)
        try:
            books.do(Reserve(payout.hold_id, earnings, amount_nano, now + PAYOUT_HOLD))
        except InsufficientFunds as error:
            raise NotEarned(error) from None
        uow.ledger.write(books.applied([]), now)
        uow.payouts.add(payout)
        _log(uow, now, principal, "payout.request", payout)
        return payout

    with uow:
        payout = once(uow, principal.account_id, idempotency, now, Payout, do)
        uow.commit()
    return payout


@patient
def approve_payout(
    uow: UnitOfWork, now: datetime, principal: Principal, payout_id: PayoutId, idempotency: Idempotency | None = None
) -> Payout:
    """Say that a payout may be paid; raises Forbidden for one's own, Conflict if it was decided before."""

    def do(payout: Payout) -> Payout:
        payout.check_approver(principal)
        payout.check_step(PayoutState.APPROVED)
        return replace(
            payout, state=PayoutState.APPROVED, decided_at=now, decided_by=principal.actor if principal.key_id else None
        )

    return _change(uow, now, principal, payout_id, "payout.approve", do, idempotency)


@patient
def post_payout(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    payout_id: PayoutId,
    reference: str,
    idempotency: Idempotency | None = None,
) -> Payout:
    """Book that an approved payout was paid, under the bank's reference; the same reference again changes nothing.

    Raises Conflict(`reference_reused`) for a reference that stands for something else.
    """
    check_reference(reference)

    def do(payout: Payout) -> Payout:
        if payout.state is PayoutState.POSTED and payout.reference == reference:
            return payout
        payout.check_step(PayoutState.POSTED)
        hold = uow.ledger.lock_holds([payout.hold_id])[payout.hold_id]
        transfer = Transfer(
            TransferId(new_id()),
            TransferKind.PAYOUT,
            hold.account,
            WORLD_ID,
            payout.amount_nano,
            hold.id,
            reference=reference,
        )
        _move(uow, now, Capture(transfer), payout)
        return replace(payout, state=PayoutState.POSTED, reference=reference, closed_at=now)

    return _change(uow, now, principal, payout_id, "payout.post", do, idempotency)


@patient
def reject_payout(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    payout_id: PayoutId,
    reason: str,
    idempotency: Idempotency | None = None,
) -> Payout:
    """Refuse a payout that is not posted; its hold is released."""
    check_reason(reason)

    def do(payout: Payout) -> Payout:
        payout.check_step(PayoutState.REJECTED)
        _move(uow, now, Release(payout.hold_id), payout)
        return replace(
            payout,
            state=PayoutState.REJECTED,
            reason=reason,
            decided_at=now,
            decided_by=principal.actor if principal.key_id else None,
            closed_at=now,
        )

    return _change(uow, now, principal, payout_id, "payout.reject", do, idempotency)


@patient
def cancel_payout(
    uow: UnitOfWork, now: datetime, principal: Principal, payout_id: PayoutId, idempotency: Idempotency | None = None
) -> Payout:
    """Take a request of one's own back before it is approved; its hold is released, and twice is once."""

    def do(payout: Payout) -> Payout:
        if payout.state is PayoutState.CANCELLED:
            return payout
        payout.check_step(PayoutState.CANCELLED)
        _move(uow, now, Release(payout.hold_id), payout)
        return replace(payout, state=PayoutState.CANCELLED, closed_at=now)

    return _change(uow, now, principal, payout_id, "payout.cancel", do, idempotency, role=Role.PROVIDER)


def show_payout(uow: UnitOfWork, payout_id: PayoutId, principal: Principal) -> Payout:
    """A payout of the caller (admins: any); raises NotFound."""
    with uow:
        return _owned(uow, payout_id, principal)


def list_payouts(
    uow: UnitOfWork,
    account_id: AccountId | None,
    state: str | None = None,
    limit: int = 100,
    before: PayoutId | None = None,
) -> list[Payout]:
    """The newest payouts of an account, or of everybody; `before` continues a list below its last id."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    if state is not None and state not in [s.value for s in PayoutState]:
        raise unknown_choice("state", state, [s.value for s in PayoutState])
    with uow:
        return uow.payouts.newest(account_id, PayoutState(state) if state else None, limit, before)


def _change(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    payout_id: PayoutId,
    action: str,
    do: Callable[[Payout], Payout],
    idempotency: Idempotency | None,
    role: Role = Role.ADMIN,
) -> Payout:
    """Do one step of a payout, once, with its hold locked first: that is what decides between two at once."""
    principal.require(role)

    def step() -> Payout:
        uow.ledger.lock_holds([_owned(uow, payout_id, principal).hold_id])
        before = _owned(uow, payout_id, principal)
        after = do(before)
        if after != before:
            uow.payouts.write(after)
            _log(uow, now, principal, action, after)
        return after

    with uow:
        payout = once(uow, principal.account_id, idempotency, now, Payout, step)
        uow.commit()
    return payout


def _move(uow: UnitOfWork, now: datetime, operation: Capture | Release, payout: Payout) -> None:
    """Do what ends a payout's hold, which is locked; raises Conflict for a reference that is taken."""
    holds = uow.ledger.lock_holds([payout.hold_id])
    accounts = uow.ledger.lock(others={holds[payout.hold_id].account, WORLD_ID})
    if isinstance(operation, Capture):
        # Whatever comes from or goes to the world has its row locked by now: nobody books this reference meanwhile.
        reference = operation.transfer.reference
        if reference and uow.ledger.transfer_with_reference(reference):
            raise Conflict(
                f"reference {reference} was booked for something else",
                code="reference_reused",
                field="reference",
                accepted="the reference of this payment alone",
            )
    books = Books(accounts.balances, holds)
    books.do(operation)  # a hold that pends always covers it
    uow.ledger.write(books.applied([]), now)


def _owned(uow: UnitOfWork, payout_id: PayoutId, principal: Principal) -> Payout:
    payout = uow.payouts.find(payout_id)
    if payout is None:
        raise NotFound("payout", payout_id)  # as for somebody else's
    principal.require_owner(payout.account_id, "payout", payout_id)
    return payout


def _log(uow: UnitOfWork, now: datetime, principal: Principal, action: str, payout: Payout) -> None:
    log.record(
        uow,
        now,
        principal,
        action,
        f"payout {payout.id}",
        account=payout.account_id,
        amount_nano=payout.amount_nano,
        state=payout.state,
        reference=payout.reference,
        reason=payout.reason,
    )
