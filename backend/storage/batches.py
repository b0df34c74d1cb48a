"""Batches, and what they cost.

Whoever changes a chunk or a batch locks its row first, before the orders and the money that placing it touches: no
other code locks these rows, so that no two transactions can wait for each other in a circle.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.access import Spender
from backend.domain.batches import BatchOptions, BatchState
from backend.domain.ids import AccountId, BatchId, FileId
from backend.storage.rows import insert_rows, update_rows, values_of
from backend.storage.tables import BatchRow


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch's row."""

    id: BatchId
    account_id: AccountId
    member_id: AccountId | None
    endpoint: str
    input_file_id: FileId
    completion_window: str
    metadata: Mapping[str, str]
    options: BatchOptions
    webhook: str | None
    state: BatchState
    created_at: datetime
    expires_at: datetime
    claimed_until: datetime
    ending: BatchState | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    errors: list[dict[str, Any]] | None = None
    output_file_id: FileId | None = None
    error_file_id: FileId | None = None
    in_progress_at: datetime | None = None
    cancelling_at: datetime | None = None
    finalizing_at: datetime | None = None
    ended_at: datetime | None = None
    tidied_at: datetime | None = None
    forgotten_at: datetime | None = None

    @property
    def spender(self) -> Spender:
        """Who pays for it."""
        return Spender(self.account_id, self.member_id)


_BATCH = ", ".join(f"b.{name}" for name in Batch.__dataclass_fields__)


class BatchRepository:
    """Batches by id and account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, batch: Batch) -> None:
        """Record a new batch."""
        insert_rows(self._connection, BatchRow, [_row(batch)])

    def find(self, batch_id: BatchId, *, for_update: bool = False) -> Batch | None:
        """The batch of that id."""
        lock = "FOR UPDATE" if for_update else ""
        found = self._batches(f"SELECT {_BATCH} FROM batches b WHERE b.id = :id {lock}", {"id": batch_id})
        return found[0] if found else None

    def page(self, account: AccountId | None, limit: int, after: BatchId | None) -> list[Batch]:
        """The newest batches of an account (None: of everybody), older than `after`."""
        return self._batches(
            f"SELECT {_BATCH} FROM batches b WHERE (CAST(:account AS uuid) IS NULL OR b.account_id = :account)"
            f" AND (CAST(:after AS uuid) IS NULL OR b.id < :after) ORDER BY b.id DESC LIMIT :limit",
            {"account": account, "after": after, "limit": limit},
        )

    def open_of(self, account: AccountId) -> int:
        """How many batches of an account have not ended."""
        return int(
            self._connection.execute(
                text("SELECT count(*) FROM batches WHERE account_id = :account AND ended_at IS NULL"),
                {"account": account},
            ).scalar_one()
        )

    def open_of_member(self, account: AccountId, member: AccountId) -> list[Batch]:
        """What a member of an organisation has under way, locked until the transaction ends."""
        return self._batches(
            f"SELECT {_BATCH} FROM batches b WHERE b.account_id = :account AND b.member_id = :member"
            f" AND b.ended_at IS NULL ORDER BY b.id FOR UPDATE",
            {"account": account, "member": member},
        )

    def reads(self, file_id: FileId) -> bool:
        """Whether a batch that has not ended reads a file."""
        return bool(
            self._connection.execute(
                text("SELECT EXISTS (SELECT 1 FROM batches WHERE input_file_id = :file AND ended_at IS NULL)"),
                {"file": file_id},
            ).scalar_one()
        )

    def claim(self, now: datetime, until: datetime) -> Batch | None:
        """The batch that waited longest, for nobody else to look at before `until`."""
        found = self._batches(
            f"UPDATE batches b SET claimed_until = :until WHERE b.id = (SELECT id FROM batches"
            f" WHERE tidied_at IS NULL AND claimed_until <= :now ORDER BY claimed_until, id LIMIT 1"
            f" FOR UPDATE SKIP LOCKED) RETURNING {_BATCH}",
            {"now": now, "until": until},
        )
        return found[0] if found else None

    def let_go(self, batch_id: BatchId, until: datetime) -> None:
        """The next look at a batch is from then on."""
        self._connection.execute(
            text("UPDATE batches SET claimed_until = :until WHERE id = :id"), {"id": batch_id, "until": until}
        )

    def write(self, batch: Batch) -> None:
        """Record a batch, which the caller has locked, as it is now."""
        update_rows(self._connection, BatchRow, [_row(batch)])

    def charged_of(self, batches: Collection[BatchId]) -> dict[BatchId, int]:
        """What batches were charged so far, in nano-credits."""
        rows = self._connection.execute(
            text(
                "SELECT c.batch_id, sum(o.charged_nano)::bigint AS charged FROM batch_chunks c"
                " JOIN orders o ON o.id = c.order_id WHERE c.batch_id = ANY(:ids) GROUP BY c.batch_id"
            ),
            {"ids": list(batches)},
        )
        return {row.batch_id: row.charged for row in rows}

    def _batches(self, statement: str, binds: dict[str, Any]) -> list[Batch]:
        return [_batch(row) for row in self._connection.execute(text(statement), binds)]


def _batch(row: Any) -> Batch:
    values = dict(row._mapping)
    ending = values["ending"]
    return Batch(
        **values
        | {
            "state": BatchState(values["state"]),
            "ending": ending and BatchState(ending),
            "options": BatchOptions(**values["options"]),
        }
    )


def _row(batch: Batch) -> dict[str, Any]:
    values = values_of(batch)
    return values | {
        "metadata": dict(batch.metadata),
        "options": values_of(batch.options),
        "state": str(batch.state),
        "ending": batch.ending and str(batch.ending),
    }
