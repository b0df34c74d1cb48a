"""What is kept for a time only: requests and answers, answers to idempotency keys, what accounts' webhooks were told.

Money is never forgotten: orders, items, leases and transfers stay, with times, sizes and charges.
"""

from datetime import datetime, timedelta
from itertools import takewhile

from backend.domain.disputes import DISPUTE_DAYS
from backend.domain.ids import OrderId
from backend.storage.forgetting import Remembered
from backend.storage.unit_of_work import UnitOfWork

RESULTS_KEPT = timedelta(days=DISPUTE_DAYS)  # after an order's end: as long as it may be contested
BATCH_RESULTS_KEPT = timedelta(days=1)  # after a batch's end: they are in its files, which its owner may delete
KEYS_KEPT = timedelta(days=30)
DELIVERIES_KEPT = timedelta(days=30)  # after they were taken or given up
ORDERS_MAX = 100  # in one transaction
ROWS_MAX = 1_000


def forget_results(uow: UnitOfWork, now: datetime) -> bool:
    """Drop requests and answers of orders that ended RESULTS_KEPT ago, the oldest first; returns whether there is more.

    An order that is disputed keeps them until that is resolved.
    """
    with uow:
        mark = uow.forgetting.lock_mark()
        if mark is None:
            return False
        ended_before = now - RESULTS_KEPT
        oldest = uow.forgetting.remembered(mark, ORDERS_MAX)
        over = list(takewhile(lambda one: not one.has_items or _ended(one, ended_before), oldest))
        if over:
            uow.forgetting.forget_orders([one.id for one in over if one.has_items and not one.is_disputed])
            uow.forgetting.move_mark(over[-1].id)
        uow.commit()
    return len(over) == ORDERS_MAX


def _ended(one: Remembered, before: datetime) -> bool:
    return one.closed_at is not None and one.closed_at < before


def forget_resolved(uow: UnitOfWork, order_id: OrderId) -> None:
    """Drop what an order kept only because it was disputed, inside an open unit of work."""
    if uow.forgetting.is_passed(order_id):
        uow.forgetting.forget_orders([order_id])


def forget_batches(uow: UnitOfWork, now: datetime) -> bool:
    """Drop requests and answers of a batch that ended BATCH_RESULTS_KEPT ago; returns whether there was one."""
    with uow:
        if uow.forgetting.lock_mark() is None:  # else two that forget the same items could wait for each other
            return False
        batch_id = uow.forgetting.lock_batch(now - BATCH_RESULTS_KEPT)
        if batch_id is not None:
            uow.forgetting.forget_batch(batch_id, now)
        uow.commit()
    return batch_id is not None


def forget_answers(uow: UnitOfWork, now: datetime) -> bool:
    """Drop answers to idempotency keys, and what webhooks were told; returns whether there is more."""
    with uow:
        keys = uow.forgetting.forget_keys(now - KEYS_KEPT, ROWS_MAX)
        deliveries = uow.forgetting.forget_deliveries(now - DELIVERIES_KEPT, ROWS_MAX)
        uow.commit()
    return ROWS_MAX in (keys, deliveries)
