"""Chunks of batches: what one order carries, until its results are collected.

Rows are locked as `batches` says: the batch first, then its chunks, then orders and money.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.batches import ChunkState
from backend.domain.ids import BatchId, ChunkId, OrderId
from backend.storage.rows import insert_records, update_rows
from backend.storage.tables import BatchChunkRow

OUTPUT_BYTES_MAX = 4 << 20  # of one page of items
_ORDER_ENDED = "('settled', 'cancelled', 'expired', 'failed')"


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk's row; `lines` are number, custom_id and rows of each, in the order of the order's items.

    `output_bytes` is what its results should fill and, once they are collected, what they do. `error` is why it was
    refused or, while it waits, why it could not be placed when that was tried last.
    """

    id: ChunkId
    batch_id: BatchId
    number: int
    state: ChunkState
    model: str
    version: int
    from_byte: int
    to_byte: int
    lines: list[tuple[int, str, int]]
    output_bytes: int
    order_id: OrderId | None = None
    error: Mapping[str, Any] | None = None
    retry_at: datetime | None = None
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """An item of an ended order: what it gave, or why it gave nothing."""

    seq: int
    state: str
    outputs: bytes | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What a batch was charged for orders that ended, and what those still open may cost; nano-credits."""

    charged_nano: int
    open_nano: int
    open_orders: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a batch waits: as its orders are told by the auction, or as they were refused before that, with a message."""

    code: str
    message: str | None


@dataclass(frozen=True, slots=True)
class Filled:
    """Bytes of a batch's results that are kept, and that orders under way were promised; per model and version, the
    most that a request gave on average of a chunk.
    """

    kept_bytes: int
    open_bytes: int
    seen: Mapping[tuple[str, int], int]


_CHUNK = ", ".join(f"c.{name}" for name in StoredChunk.__dataclass_fields__)


class BatchChunkRepository:
    """Chunks, and the orders that carry them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, chunks: Sequence[StoredChunk]) -> None:
        """Record what a batch was cut into."""
        insert_records(self._connection, BatchChunkRow, chunks)

    def waiting(self, batch_id: BatchId, now: datetime, limit: int, *, for_update: bool = False) -> list[StoredChunk]:
        """The first chunks to be placed."""
        lock = "FOR UPDATE" if for_update else ""
        return self._chunks(
            f"SELECT {_CHUNK} FROM batch_chunks c WHERE c.batch_id = :batch AND c.state = 'waiting'"
            f" AND (c.retry_at IS NULL OR c.retry_at <= :now) ORDER BY c.number LIMIT :limit {lock}",
            {"batch": batch_id, "now": now, "limit": limit},
        )

    def to_collect(self, batch_id: BatchId, limit: int) -> list[StoredChunk]:
        """Chunks whose orders have ended, or that were refused; the first of them."""
        return self._chunks(
            f"SELECT {_CHUNK} FROM batch_chunks c LEFT JOIN orders o ON o.id = c.order_id"
            f" WHERE c.batch_id = :batch AND (c.state = 'refused' OR c.state = 'placed' AND o.state IN {_ORDER_ENDED})"
            f" ORDER BY c.number LIMIT :limit",
            {"batch": batch_id, "limit": limit},
        )

    def find(self, batch_id: BatchId, number: int) -> StoredChunk:
        """A chunk by its number."""
        [chunk] = self._chunks(
            f"SELECT {_CHUNK} FROM batch_chunks c WHERE c.batch_id = :batch AND c.number = :number",
            {"batch": batch_id, "number": number},
        )
        return chunk

    def lock(self, chunk_id: ChunkId) -> StoredChunk:
        """A chunk, locked until the transaction ends."""
        [chunk] = self._chunks(f"SELECT {_CHUNK} FROM batch_chunks c WHERE c.id = :id FOR UPDATE", {"id": chunk_id})
        return chunk

    def results(self, batch_id: BatchId) -> list[tuple[int, int, int]]:
        """(number, completed, failed) of every chunk, in order."""
        rows: Any = self._connection.execute(
            text("SELECT number, completed, failed FROM batch_chunks WHERE batch_id = :batch ORDER BY number"),
            {"batch": batch_id},
        )
        return [(row.number, row.completed, row.failed) for row in rows]

    def mark_placed(self, placed: Mapping[ChunkId, tuple[OrderId, int]]) -> None:
        """Chunks that have their orders, and the bytes that their results were promised."""
        update_rows(
            self._connection,
            BatchChunkRow,
            [
                {"id": chunk, "state": "placed", "order_id": order, "output_bytes": promised, "error": None}
                for chunk, (order, promised) in placed.items()
            ],
        )

    def mark_refused(self, refused: Mapping[ChunkId, Mapping[str, Any]]) -> None:
        """Chunks that will not be placed, and why."""
        update_rows(
            self._connection,
            BatchChunkRow,
            [{"id": chunk, "state": "refused", "error": dict(error)} for chunk, error in refused.items()],
        )

    def retry(self, waiting: Mapping[ChunkId, Mapping[str, Any]], at: datetime) -> None:
        """Chunks that wait, for capacity or for money that other orders hold, and for what in particular."""
        update_rows(
            self._connection,
            BatchChunkRow,
            [{"id": chunk, "retry_at": at, "error": dict(error)} for chunk, error in waiting.items()],
        )

    def refuse_waiting(self, batch_id: BatchId, error: Mapping[str, Any], *, with_why: bool) -> None:
        """Place nothing more of a batch; `with_why`, what the first of its chunks waited for is told as well."""
        chunks = self._chunks(
            f"SELECT {_CHUNK} FROM batch_chunks c WHERE c.batch_id = :batch AND c.state = 'waiting'"
            f" ORDER BY c.number FOR UPDATE",
            {"batch": batch_id},
        )
        why = next((chunk.error["message"] for chunk in chunks if chunk.error), None) if with_why else None
        told = {**error, "message": f"{error['message']}: {why}"} if why else error
        self.mark_refused({chunk.id: told for chunk in chunks})

    def mark_collected(self, batch_id: BatchId, chunks: Sequence[tuple[ChunkId, int, int, int]]) -> None:
        """Chunks whose results lie in the object store, with how many completed and failed, and bytes of both.

        Their batch, which the caller has locked, counts them; those that it has counted stay as they are.
        """
        ids, completed, failed, sizes = zip(*chunks, strict=True)
        self._connection.execute(
            text("""
                WITH counted AS (
                    UPDATE batch_chunks c
                    SET state = 'collected', completed = v.completed, failed = v.failed, output_bytes = v.bytes
                    FROM unnest(CAST(:ids AS uuid[]), CAST(:completed AS int[]), CAST(:failed AS int[]),
                                CAST(:sizes AS bigint[])) AS v (id, completed, failed, bytes)
                    WHERE c.id = v.id AND c.state <> 'collected' RETURNING v.completed, v.failed
                )
                UPDATE batches SET completed = batches.completed + sums.completed, failed = batches.failed + sums.failed
                FROM (SELECT coalesce(sum(completed), 0) AS completed, coalesce(sum(failed), 0) AS failed
                      FROM counted) AS sums
                WHERE batches.id = :batch
            """),
            {
                "batch": batch_id,
                "ids": list(ids),
                "completed": list(completed),
                "failed": list(failed),
                "sizes": list(sizes),
            },
        )

    def spending(self, batch_id: BatchId) -> Spending:
        """What a batch's orders cost so far, and may cost."""
        row = self._connection.execute(
            text(f"""
                SELECT coalesce(sum(o.charged_nano) FILTER (WHERE o.state IN {_ORDER_ENDED}), 0)::bigint AS charged,
                       coalesce(sum(o.worst_case_nano) FILTER (WHERE o.state NOT IN {_ORDER_ENDED}), 0)::bigint AS open,
                       count(*) FILTER (WHERE o.state NOT IN {_ORDER_ENDED}) AS orders
                FROM batch_chunks c JOIN orders o ON o.id = c.order_id WHERE c.batch_id = :batch
            """),
            {"batch": batch_id},
        ).one()
        return Spending(row.charged, row.open, row.orders)

    def filled(self, batch_id: BatchId) -> Filled:
        """What a batch's results fill, and may come to fill."""
        rows = self._connection.execute(
            text("""
                SELECT model, version,
                       coalesce(sum(output_bytes) FILTER (WHERE state = 'collected'), 0)::bigint AS kept,
                       coalesce(sum(output_bytes) FILTER (WHERE state = 'placed'), 0)::bigint AS open,
                       max(output_bytes / (completed + failed)) FILTER (WHERE completed > 0) AS seen
                FROM batch_chunks WHERE batch_id = :batch GROUP BY model, version
            """),
            {"batch": batch_id},
        ).all()
        seen = {(row.model, row.version): row.seen for row in rows if row.seen is not None}
        return Filled(sum(row.kept for row in rows), sum(row.open for row in rows), seen)

    def why_waiting(self, batches: Collection[BatchId]) -> dict[BatchId, Waiting]:
        """Why these batches wait: the most frequent reason of their open orders or else of chunks without one; nothing
        of those of which an order runs.
        """
        rows: Any = self._connection.execute(
            text("""
                SELECT DISTINCT ON (batch_id) batch_id, code, message FROM (
                    SELECT batch_id, code, message, is_placed, count(*) AS chunks FROM (
                        SELECT c.batch_id, c.state = 'placed' AS is_placed,
                               CASE WHEN c.state = 'placed' THEN o.reason ELSE c.error->>'code' END AS code,
                               CASE WHEN c.state = 'waiting' THEN c.error->>'message' END AS message,
                               bool_or(coalesce(o.state = 'running', FALSE)) OVER (PARTITION BY c.batch_id) AS runs
                        FROM batch_chunks c LEFT JOIN orders o ON o.id = c.order_id
                        WHERE c.batch_id = ANY(:ids)
                          AND (c.state = 'waiting' OR c.state = 'placed' AND o.state IN ('open', 'running'))
                    ) AS open WHERE NOT runs AND code IS NOT NULL GROUP BY batch_id, code, message, is_placed
                ) AS counted ORDER BY batch_id, is_placed DESC, chunks DESC
            """),
            {"ids": list(batches)},
        )
        return {row.batch_id: Waiting(row.code, row.message) for row in rows}

    def batches_waiting_for(self, model: str, version: int) -> int:
        """How many open batches have requests of a version that are not placed yet."""
        return int(
            self._connection.execute(
                text("""
                    SELECT count(DISTINCT b.id) FROM batches b JOIN batch_chunks c ON c.batch_id = b.id
                    WHERE b.ended_at IS NULL AND c.state = 'waiting' AND c.model = :model AND c.version = :version
                """),
                {"model": model, "version": version},
            ).scalar_one()
        )

    def ran_of(self, batches: Collection[BatchId]) -> dict[BatchId, int]:
        """Requests of orders of these batches that have run, or died, and whose results are not collected yet."""
        rows = self._connection.execute(
            text("""
                SELECT c.batch_id, count(*) AS ran FROM batch_chunks c JOIN work_items w ON w.order_id = c.order_id
                WHERE c.batch_id = ANY(:ids) AND c.state = 'placed' AND w.state IN ('committed', 'settled', 'dead')
                GROUP BY c.batch_id
            """),
            {"ids": list(batches)},
        )
        return {row.batch_id: row.ran for row in rows}

    def ran_items(self, order_id: OrderId, after: int) -> list[Ran]:
        """Items of an ended order behind `after`, as many as OUTPUT_BYTES_MAX of outputs, one at least."""
        rows: Any = self._connection.execute(
            text("""
                SELECT seq, state, outputs, error FROM (
                    SELECT seq, state, outputs, error,
                           sum(coalesce(octet_length(outputs), 0)) OVER (ORDER BY seq) AS bytes,
                           row_number() OVER (ORDER BY seq) AS place
                    FROM work_items WHERE order_id = :order AND seq > :after
                ) paged WHERE bytes <= :bytes OR place = 1 ORDER BY seq
            """),
            {"order": order_id, "after": after, "bytes": OUTPUT_BYTES_MAX},
        )
        return [Ran(*row) for row in rows]

    def any_unrun(self, batch_id: BatchId, code: str) -> bool:
        """Whether requests of a batch were not run because it ended: their chunks were refused with `code`, or their
        items let go.
        """
        found = self._connection.execute(
            text("""
                SELECT EXISTS (SELECT 1 FROM batch_chunks WHERE batch_id = :batch AND error->>'code' = :code)
                    OR EXISTS (SELECT 1 FROM batch_chunks c JOIN work_items w ON w.order_id = c.order_id
                               WHERE c.batch_id = :batch AND w.state = 'cancelled')
            """),
            {"batch": batch_id, "code": code},
        )
        return bool(found.scalar_one())

    def stoppable_orders(self, batch_id: BatchId, limit: int) -> list[OrderId]:
        """Orders of a batch that wait for a lease, or have items that do; or that have nothing left to wait for."""
        rows = self._connection.execute(
            text("""
                SELECT o.id FROM batch_chunks c JOIN orders o ON o.id = c.order_id
                WHERE c.batch_id = :batch AND c.state = 'placed' AND o.state IN ('open', 'running')
                  AND (EXISTS (SELECT 1 FROM work_items w WHERE w.order_id = o.id AND w.state = 'waiting')
                       OR NOT EXISTS (SELECT 1 FROM work_items w WHERE w.order_id = o.id
                                      AND w.state IN ('waiting', 'queued', 'running', 'committed')))
                ORDER BY o.id LIMIT :limit
            """),
            {"batch": batch_id, "limit": limit},
        )
        return [row.id for row in rows]

    def cancel_waiting(self, orders: Collection[OrderId]) -> None:
        """Let items of these orders, which the caller has locked, that no executor was sent never run."""
        self._connection.execute(
            text("""
                UPDATE work_items SET state = 'cancelled' WHERE id IN (
                    SELECT id FROM work_items WHERE order_id = ANY(:orders) AND state = 'waiting'
                    ORDER BY id FOR UPDATE
                )
            """),
            {"orders": list(orders)},
        )

    def _chunks(self, statement: str, binds: dict[str, Any]) -> list[StoredChunk]:
        return [
            StoredChunk(**dict(row._mapping) | {"state": ChunkState(row.state)})
            for row in self._connection.execute(text(statement), binds)
        ]
