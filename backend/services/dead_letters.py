"""Dead letters, for the operator: read them, give an item new attempts, or let it rest."""

from datetime import datetime, timedelta

from backend.domain.access import Principal, Role
from backend.domain.dead_letters import DeadLetter, DeathReason, LetterKind, Resolution
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.events import Event, Topic
from backend.domain.ids import DeadLetterId, OrderId
from backend.domain.orders import OrderState
from backend.services.escrow import raise_held
from backend.services.log import record
from backend.services.placement import need_of
from backend.storage.contention import patient
from backend.storage.order_rows import Order
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500
REOPEN_GRACE = timedelta(seconds=60)


def list_letters(
    uow: UnitOfWork,
    principal: Principal,
    kind: LetterKind | None = None,
    reason: DeathReason | None = None,
    queue: str | None = None,
    order: OrderId | None = None,
    resolved: bool = False,
    limit: int = 100,
    before: DeadLetterId | None = None,
) -> list[DeadLetter]:
    """The newest letters, narrowed to what is given; `before` continues a list below its last id. Admins only."""
    principal.require(Role.ADMIN)
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    with uow:
        return uow.dead_letters.newest(kind, reason, queue, order, resolved, limit, before)


def show_letter(uow: UnitOfWork, principal: Principal, letter_id: DeadLetterId) -> DeadLetter:
    """A letter; raises NotFound. Admins only."""
    principal.require(Role.ADMIN)
    with uow:
        return _found(uow, letter_id)


@patient
def retry(uow: UnitOfWork, now: datetime, principal: Principal, letter_id: DeadLetterId) -> DeadLetter:
    """Give a dead item new attempts, its money held again where that was given back. Admins only.

    Raises Conflict for a message, a letter that is resolved or an order that has ended, and what the hold was refused
    for: then nothing is changed.
    """
    principal.require(Role.ADMIN)
    with uow:
        letter = _found(uow, letter_id)
        letter.check_retriable()
        item_id, order_id = letter.item_id, letter.order_id
        assert item_id is not None  # by a constraint, as the next
        assert order_id is not None
        order = uow.orders.find(order_id, for_update=True)
        letter = _found(uow, letter_id, for_update=True)
        letter.check_open()
        if order is None or order.state not in (OrderState.OPEN, OrderState.RUNNING):
            raise Conflict(
                f"order {order_id} has ended, and its hold with it",
                code="order_ended",
                field="letter",
                accepted="the letter of an item whose order runs",
            )
        uow.dead_letters.revive(item_id)
        if order.state is OrderState.RUNNING and uow.orders.reopen_without_lease([order.id], now + REOPEN_GRACE):
            uow.emit(Event(Topic.ORDERS_PLACED))
        _hold_again(uow, now, order)
        uow.emit(Event(Topic.UNITS_READY))
        letter = _resolve(uow, now, principal, letter, Resolution.RETRIED)
        uow.commit()
    return letter


@patient
def drop(uow: UnitOfWork, now: datetime, principal: Principal, letter_id: DeadLetterId) -> DeadLetter:
    """Let what died rest; raises NotFound, or Conflict for a letter that is resolved. Admins only."""
    principal.require(Role.ADMIN)
    with uow:
        letter = _found(uow, letter_id, for_update=True)
        letter.check_open()
        letter = _resolve(uow, now, principal, letter, Resolution.DROPPED)
        uow.commit()
    return letter


def _hold_again(uow: UnitOfWork, now: datetime, order: Order) -> None:
    """Hold what the order may cost with its item; what a clearing gave back meanwhile is asked for again."""
    exposure = uow.work.exposures([order.id])[order.id]
    holds = uow.ledger.lock_holds([order.hold_id])
    short_nano = exposure.worst_nano - holds[order.hold_id].left_nano
    if short_nano > 0:
        [refused] = raise_held(uow, now, [need_of(order, short_nano)], holds, order.placed_at)
        if refused:
            raise refused


def _resolve(
    uow: UnitOfWork, now: datetime, principal: Principal, letter: DeadLetter, resolution: Resolution
) -> DeadLetter:
    uow.dead_letters.resolve(letter.id, resolution, now)
    action = "dead_letter.retry" if resolution is Resolution.RETRIED else "dead_letter.drop"
    record(
        uow,
        now,
        principal,
        action,
        f"dead_letter {letter.id}",
        kind=letter.kind,
        reason=letter.reason,
        queue=letter.queue,
        item=letter.item_id,
        order=letter.order_id,
    )
    return _found(uow, letter.id)


def _found(uow: UnitOfWork, letter_id: DeadLetterId, *, for_update: bool = False) -> DeadLetter:
    letter = uow.dead_letters.find(letter_id, for_update=for_update)
    if letter is None:
        raise NotFound("dead letter", letter_id)
    return letter
