"""Files that users keep: their rows. What is in them lies in the object store, under `key`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.files import FilePurpose
from backend.domain.ids import AccountId, FileId
from backend.storage.rows import insert_records
from backend.storage.tables import FileRow


@dataclass(frozen=True, slots=True)
class File:
    """A file's row; `ready_at` is None while it is being stored."""

    id: FileId
    account_id: AccountId
    purpose: FilePurpose
    filename: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime
    ready_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def key(self) -> str:
        """Where its content is in the object store."""
        return key_of(self.id)


@dataclass(frozen=True, slots=True)
class Kept:
    """How much an account keeps; `open_bytes` of it are not there yet, but promised to the results of batches."""

    files: int
    size_bytes: int
    open_bytes: int


def key_of(file_id: FileId) -> str:
    """Where a file's content is in the object store."""
    return f"files/{file_id}"


_COLUMNS = ", ".join(File.__dataclass_fields__)
_READ = "EXISTS (SELECT 1 FROM batches b WHERE b.input_file_id = files.id AND b.ended_at IS NULL)"
_SHOWN = f"ready_at IS NOT NULL AND deleted_at IS NULL AND (expires_at > :now OR {_READ})"


class FileRepository:
    """Files by id and account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_account(self, account: AccountId) -> None:
        """Make additions to an account's files and batches take turns until the transaction ends."""
        self._connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"files {account}"}
        )

    def add(self, files: Sequence[File], *, again: bool = False) -> None:
        """Record files; with `again` those that are recorded stay as they are."""
        insert_records(self._connection, FileRow, files, "ON CONFLICT (id) DO NOTHING" if again else "")

    def kept(self, account: AccountId) -> Kept:
        """What an account keeps: uploads under way, outputs, and what batches that have not ended have or may give."""
        row = self._connection.execute(
            text("""
                SELECT kept.files, kept.bytes + results.bytes AS bytes, results.open
                FROM (SELECT count(*) AS files, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM files
                      WHERE account_id = :account AND deleted_at IS NULL) AS kept,
                     (SELECT coalesce(sum(c.output_bytes), 0)::bigint AS bytes,
                             coalesce(sum(c.output_bytes) FILTER (WHERE c.state = 'placed'), 0)::bigint AS open
                      FROM batches b JOIN batch_chunks c ON c.batch_id = b.id AND c.state IN ('placed', 'collected')
                      WHERE b.account_id = :account AND b.ended_at IS NULL) AS results
            """),
            {"account": account},
        ).one()
        return Kept(row.files, row.bytes, row.open)

    def find(self, file_id: FileId, now: datetime) -> File | None:
        """A file that can be read, of anybody."""
        return self._one(f"SELECT {_COLUMNS} FROM files WHERE id = :id AND {_SHOWN}", {"id": file_id, "now": now})

    def page(
        self,
        account: AccountId | None,
        now: datetime,
        purpose: FilePurpose | None,
        limit: int,
        after: FileId | None,
        *,
        ascending: bool,
    ) -> list[File]:
        """Files of an account (None: of everybody) that can be read, from behind `after` on."""
        beyond, order = (">", "ASC") if ascending else ("<", "DESC")
        return self._many(
            f"SELECT {_COLUMNS} FROM files WHERE {_SHOWN}"
            f" AND (CAST(:account AS uuid) IS NULL OR account_id = :account)"
            f" AND (CAST(:purpose AS text) IS NULL OR purpose = :purpose)"
            f" AND (CAST(:after AS uuid) IS NULL OR id {beyond} :after) ORDER BY id {order} LIMIT :limit",
            {"account": account, "now": now, "purpose": purpose, "limit": limit, "after": after},
        )

    def make_ready(self, file_id: FileId, size_bytes: int, now: datetime) -> bool:
        """A file's content is all there; False for one that was given up meanwhile."""
        done = self._connection.execute(
            text(
                "UPDATE files SET ready_at = :now, size_bytes = :size"
                " WHERE id = :id AND ready_at IS NULL AND deleted_at IS NULL"
            ),
            {"id": file_id, "now": now, "size": size_bytes},
        )
        return done.rowcount > 0

    def delete(self, ids: Collection[FileId], now: datetime) -> None:
        """Nobody sees these any more; their content is removed by a sweep."""
        self._connection.execute(
            text("UPDATE files SET deleted_at = coalesce(deleted_at, :now) WHERE id = ANY(:ids)"),
            {"ids": list(ids), "now": now},
        )

    def delete_lapsed(self, now: datetime, begun_before: datetime, limit: int) -> int:
        """Delete what has expired, and uploads that were begun before a moment and never ended."""
        done = self._connection.execute(
            text(
                f"UPDATE files SET deleted_at = :now WHERE id IN (SELECT id FROM files WHERE deleted_at IS NULL"
                f" AND (expires_at <= :now OR (ready_at IS NULL AND created_at < :begun)) AND NOT {_READ}"
                f" ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)"
            ),
            {"now": now, "begun": begun_before, "limit": limit},
        )
        return done.rowcount

    def lock_deleted(self, limit: int) -> list[File]:
        """Deleted files whose content is still to be removed, locked until the transaction ends."""
        return self._many(
            f"SELECT {_COLUMNS} FROM files WHERE deleted_at IS NOT NULL ORDER BY id LIMIT :limit"
            f" FOR UPDATE SKIP LOCKED",
            {"limit": limit},
        )

    def recorded(self, ids: Collection[FileId]) -> set[FileId]:
        """Those of these files that have a row, deleted or not."""
        rows = self._connection.execute(text("SELECT id FROM files WHERE id = ANY(:ids)"), {"ids": list(ids)})
        return {row.id for row in rows}

    def forget(self, ids: Collection[FileId]) -> None:
        """Drop the rows of files whose content is gone."""
        self._connection.execute(text("DELETE FROM files WHERE id = ANY(:ids)"), {"ids": list(ids)})

    def _one(self, statement: str, binds: dict[str, Any]) -> File | None:
        found = self._many(statement, binds)
        return found[0] if found else None

    def _many(self, statement: str, binds: dict[str, Any]) -> list[File]:
        rows = self._connection.execute(text(statement), binds)
        return [File(**dict(row._mapping) | {"purpose": FilePurpose(row.purpose)}) for row in rows]
