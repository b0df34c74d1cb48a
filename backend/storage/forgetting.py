"""What is forgotten some time after its end: requests and answers of orders, idempotency keys, what webhooks were told.

Rows of orders and items stay, since the books refer to them: of a payload that is forgotten, an empty one is left.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.ids import BatchId, OrderId

FORGOTTEN = b""  # of an item that was answered: an answer has a byte at least
_EMPTY = "SET inputs = '', outputs = CASE WHEN w.outputs IS NOT NULL THEN CAST('' AS bytea) END"


@dataclass(frozen=True, slots=True)
class Remembered:
    """An order above the mark; one that has no items, as sessions have none, has nothing to forget."""

    id: OrderId
    closed_at: datetime | None
    has_items: bool
    is_disputed: bool


class ForgettingRepository:
    """Orders are forgotten in the order of their ids, up to a mark; those of batches sooner, by their batch."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_mark(self) -> OrderId | None:
        """Up to where orders are forgotten, locked until the transaction ends; None if somebody else has it locked."""
        found = self._connection.execute(text("SELECT up_to FROM payload_mark FOR UPDATE SKIP LOCKED"))
        up_to: UUID | None = found.scalar_one_or_none()
        return None if up_to is None else OrderId(up_to)

    def move_mark(self, up_to: OrderId) -> None:
        """All orders up to this one are forgotten, but for those that are disputed."""
        self._connection.execute(text("UPDATE payload_mark SET up_to = :id"), {"id": up_to})

    def is_passed(self, order_id: OrderId) -> bool:
        """Whether the mark is behind an order; where it is being moved, that is waited for."""
        up_to: UUID = self._connection.execute(text("SELECT up_to FROM payload_mark FOR SHARE")).scalar_one()
        return up_to >= order_id

    def remembered(self, after: OrderId, limit: int) -> list[Remembered]:
        """The oldest orders behind the mark."""
        rows: Any = self._connection.execute(
            text("""
                SELECT o.id, o.closed_at, EXISTS (SELECT FROM work_items w WHERE w.order_id = o.id) AS has_items,
                       EXISTS (SELECT FROM disputes d WHERE d.order_id = o.id AND d.state = 'open') AS is_disputed
                FROM orders o WHERE o.id > :after ORDER BY o.id LIMIT :limit
            """),
            {"after": after, "limit": limit},
        )
        return [Remembered(*row) for row in rows]

    def forget_orders(self, orders: Collection[OrderId]) -> None:
        """Drop requests and answers of these orders, which have ended; those of training say only where weights are."""
        self._connection.execute(
            text(f"""
                UPDATE work_items w {_EMPTY} FROM orders o
                WHERE w.order_id = ANY(:orders) AND w.inputs <> '' AND o.id = w.order_id AND o.workload <> 'training'
            """),
            {"orders": list(orders)},
        )

    def lock_batch(self, ended_before: datetime) -> BatchId | None:
        """A batch that ended before then, whose orders are not forgotten, locked; those that somebody else has not."""
        found = self._connection.execute(
            text("""
                SELECT id FROM batches WHERE tidied_at IS NOT NULL AND forgotten_at IS NULL AND ended_at < :before
                ORDER BY ended_at LIMIT 1 FOR UPDATE SKIP LOCKED
            """),
            {"before": ended_before},
        )
        batch_id: UUID | None = found.scalar_one_or_none()
        return None if batch_id is None else BatchId(batch_id)

    def forget_batch(self, batch_id: BatchId, now: datetime) -> None:
        """Drop requests, answers and names of the requests of a batch, which the caller has locked; orders that are
        disputed keep theirs until the mark has passed them.
        """
        self._connection.execute(  # whoever disputes one of them now is waited for
            text("""
                SELECT 1 FROM orders WHERE id IN (SELECT order_id FROM batch_chunks WHERE batch_id = :id)
                ORDER BY id FOR UPDATE
            """),
            {"id": batch_id},
        )
        self._connection.execute(
            text(f"""
                WITH chunks AS (UPDATE batch_chunks SET lines = '[]' WHERE batch_id = :id RETURNING order_id),
                     batch AS (UPDATE batches SET forgotten_at = :now WHERE id = :id)
                UPDATE work_items w {_EMPTY} WHERE w.inputs <> '' AND w.order_id IN (
                    SELECT c.order_id FROM chunks c WHERE NOT EXISTS (
                        SELECT FROM disputes d WHERE d.order_id = c.order_id AND d.state = 'open'
                    )
                )
            """),
            {"id": batch_id, "now": now},
        )

    def forget_keys(self, before: datetime, limit: int) -> int:
        """Drop answers to requests that carried an idempotency key before then; returns how many."""
        return self._connection.execute(
            text("""
                DELETE FROM idempotency_keys WHERE (account_id, key) IN (
                    SELECT account_id, key FROM idempotency_keys WHERE created_at < :before
                    ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
                )
            """),
            {"before": before, "limit": limit},
        ).rowcount

    def forget_deliveries(self, before: datetime, limit: int) -> int:
        """Drop what accounts' webhooks took, or did not take in the end, before then; returns how many."""
        return self._connection.execute(
            text("""
                DELETE FROM account_deliveries WHERE id IN (
                    SELECT id FROM account_deliveries WHERE done_at < :before
                    ORDER BY done_at LIMIT :limit FOR UPDATE SKIP LOCKED
                )
            """),
            {"before": before, "limit": limit},
        ).rowcount
