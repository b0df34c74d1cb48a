"""Disputes: a user contests an order's charges, which are withheld until an admin upholds or rejects, once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.corrections import check_reason, paid, standing_nano
from backend.domain.disputes import Dispute, DisputeState, check_contestable
from backend.domain.errors import Conflict, Invalid, NotFound, unknown_choice
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId, DisputeId, OrderId
from backend.domain.money import format_credits
from backend.services import log
from backend.services.contested import Case, give_back, restore_charges, withhold_charges
from backend.services.forgetting import forget_resolved
from backend.services.idempotency import once
from backend.services.orders import owned_order
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500


@patient
def open_dispute(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    order_id: OrderId,
    reason: str,
    idempotency: Idempotency | None = None,
) -> Dispute:
    """Contest what an order of the caller was charged; what its providers still have of it is withheld from now on.

    Raises NotFound, or Conflict for an order that is disputed already, runs still, cost nothing, or ended too long ago.
    """
    check_reason(reason)

    def do() -> Dispute:
        order = owned_order(uow, order_id, principal, for_update=True)
        if uow.disputes.open_of(order_id):
            raise Conflict(
                f"order {order_id} is disputed already",
                code="already_disputed",
                field="order",
                accepted="to wait until its dispute is resolved",
            )
        transfers = uow.ledger.transfers_of_order(order_id)
        check_contestable(order_id, order.closed_at, standing_nano(transfers), now)
        dispute_id = DisputeId(new_id())
        withheld = withhold_charges(uow, now, dispute_id, order_id, paid(transfers))
        dispute = Dispute(dispute_id, order.account_id, order_id, reason, DisputeState.OPEN, withheld, now)
        uow.disputes.add(dispute)
        _log(uow, now, principal, "dispute.open", dispute, reason)
        return dispute

    with uow:
        dispute = once(uow, principal.account_id, idempotency, now, Dispute, do)
        uow.commit()
    return dispute


@patient
def uphold(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    dispute_id: DisputeId,
    reason: str,
    amount_nano: int | None = None,
    from_fund: bool = False,
    idempotency: Idempotency | None = None,
) -> Dispute:
    """Give the buyer back what was contested, or `amount_nano` of it, fees included, in proportion from each charge.

    Raises Conflict(`dispute_resolved`), Invalid(`invalid_amount`), or PayeeShort when a provider has less left: with
    `from_fund` the credits fund pays what providers cannot.
    """

    def do() -> Dispute:
        case = _open_case(uow, dispute_id)
        standing = standing_nano(case.transfers)
        amount = standing if amount_nano is None else amount_nano
        if not 0 < amount <= standing:
            raise Invalid(
                f"{format_credits(amount)} credits are not contested",
                code="invalid_amount",
                field="amount",
                accepted=f"up to {format_credits(standing)} credits, or none for all of it",
            )
        give_back(uow, now, case, amount, from_fund)
        return _resolve(uow, now, principal, case, DisputeState.UPHELD, amount, reason)

    return _decide(uow, now, principal, reason, idempotency, do)


@patient
def reject(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    dispute_id: DisputeId,
    reason: str,
    idempotency: Idempotency | None = None,
) -> Dispute:
    """Let the charges stand: what was withheld goes back to the providers. Raises Conflict(`dispute_resolved`)."""

    def do() -> Dispute:
        case = _open_case(uow, dispute_id)
        restore_charges(uow, now, case)
        return _resolve(uow, now, principal, case, DisputeState.REJECTED, 0, reason)

    return _decide(uow, now, principal, reason, idempotency, do)


def show_dispute(uow: UnitOfWork, dispute_id: DisputeId, principal: Principal) -> Dispute:
    """A dispute of the caller (admins: any); raises NotFound."""
    with uow:
        dispute = _found(uow, dispute_id)
        principal.require_owner(dispute.account_id, "dispute", dispute_id)
        return dispute


def list_disputes(
    uow: UnitOfWork,
    account_id: AccountId | None,
    state: str | None = None,
    limit: int = 100,
    before: DisputeId | None = None,
) -> list[Dispute]:
    """The newest disputes of an account, or of everybody; `before` continues a list below its last id."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    if state is not None and state not in [s.value for s in DisputeState]:
        raise unknown_choice("state", state, [s.value for s in DisputeState])
    with uow:
        return uow.disputes.newest(account_id, DisputeState(state) if state else None, limit, before)


def _decide(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    reason: str,
    idempotency: Idempotency | None,
    do: Callable[[], Dispute],
) -> Dispute:
    principal.require(Role.ADMIN)
    check_reason(reason)
    with uow:
        dispute = once(uow, principal.account_id, idempotency, now, Dispute, do)
        uow.commit()
    return dispute


def _open_case(uow: UnitOfWork, dispute_id: DisputeId) -> Case:
    """The dispute, if it is open, with its order locked: whoever comes second finds it resolved."""
    order = uow.orders.find(_found(uow, dispute_id).order_id, for_update=True)
    dispute = _found(uow, dispute_id)
    dispute.check_open()
    assert order is not None  # a foreign key
    return Case(dispute, order, uow.ledger.transfers_of_order(order.id))


def _resolve(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    case: Case,
    state: DisputeState,
    refunded_nano: int,
    reason: str,
) -> Dispute:
    resolved = replace(
        case.dispute,
        state=state,
        refunded_nano=refunded_nano,
        resolution=reason,
        resolved_at=now,
        resolved_by=principal.actor if principal.key_id else None,
    )
    uow.disputes.write(resolved)
    forget_resolved(uow, resolved.order_id)
    _log(uow, now, principal, f"dispute.{state}", resolved, reason)
    return resolved


def _found(uow: UnitOfWork, dispute_id: DisputeId) -> Dispute:
    dispute = uow.disputes.find(dispute_id)
    if dispute is None:
        raise NotFound("dispute", dispute_id)  # as for somebody else's
    return dispute


def _log(uow: UnitOfWork, now: datetime, principal: Principal, action: str, dispute: Dispute, reason: str) -> None:
    log.record(
        uow,
        now,
        principal,
        action,
        f"dispute {dispute.id}",
        order=dispute.order_id,
        withheld_nano=dispute.withheld_nano,
        refunded_nano=dispute.refunded_nano,
        reason=reason,
    )
