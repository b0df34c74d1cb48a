"""Uploads of model files: how far each is, and which chunks of it are in the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, UploadId
from backend.domain.uploads import Upload
from backend.storage.rows import insert_rows, values_of
from backend.storage.tables import ModelUploadRow

_COLUMNS = ", ".join(Upload.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file, from `start_byte` on."""

    start_byte: int
    size_bytes: int
    sha256: str

    def key(self, folder: str) -> str:
        """Where it is in the store: two that come for the same place at once do not overwrite each other."""
        return f"{folder}{self.start_byte:015d}-{self.sha256}"


class ModelUploadRepository:
    """Uploads by id; an account has one at most of the same file under the same name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_open(self, account_id: AccountId) -> list[Upload]:
        """The uploads of an account, whose row stays locked: two that begin at once take turns."""
        self._connection.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR UPDATE"), {"id": account_id})
        return self._found("SELECT {} FROM model_uploads WHERE account_id = :id ORDER BY id", id=account_id)

    def add(self, upload: Upload) -> None:
        """Record one that begins."""
        insert_rows(self._connection, ModelUploadRow, [values_of(upload)])

    def find(self, upload_id: UploadId, *, for_update: bool = False) -> Upload | None:
        """An upload, locked until the transaction ends if that is said."""
        lock = " FOR UPDATE" if for_update else ""
        found = self._found(f"SELECT {{}} FROM model_uploads WHERE id = :id{lock}", id=upload_id)
        return found[0] if found else None

    def take(self, upload_id: UploadId, chunk: Chunk, expires_at: datetime) -> None:
        """Count a chunk that is in the store, of an upload that is locked."""
        self._connection.execute(
            text(
                "WITH taken AS (INSERT INTO model_chunks (upload_id, start_byte, size_bytes, sha256)"
                " VALUES (:id, :start, :size, :sha256))"
                " UPDATE model_uploads SET received_bytes = received_bytes + :size, chunks = chunks + 1,"
                " expires_at = :expires_at WHERE id = :id"
            ),
            {
                "id": upload_id,
                "start": chunk.start_byte,
                "size": chunk.size_bytes,
                "sha256": chunk.sha256,
                "expires_at": expires_at,
            },
        )

    def chunks(self, upload_id: UploadId, start_byte: int | None = None) -> list[Chunk]:
        """The chunks of an upload in order, or the one that begins there."""
        rows: Any = self._connection.execute(
            text(
                "SELECT start_byte, size_bytes, sha256 FROM model_chunks WHERE upload_id = :id"
                " AND (CAST(:start AS bigint) IS NULL OR start_byte = :start) ORDER BY start_byte"
            ),
            {"id": upload_id, "start": start_byte},
        )
        return [Chunk(*row) for row in rows]

    def claim(self, upload_id: UploadId, until: datetime) -> None:
        """Nobody else completes an upload before then."""
        self._connection.execute(
            text("UPDATE model_uploads SET completing_until = :until WHERE id = :id"),
            {"id": upload_id, "until": until},
        )

    def let_go(self, upload_id: UploadId, until: datetime) -> None:
        """End the claim that was taken until then; somebody else's, who took it since, stays."""
        self._connection.execute(
            text("UPDATE model_uploads SET completing_until = NULL WHERE id = :id AND completing_until = :until"),
            {"id": upload_id, "until": until},
        )

    def lapse(self, upload_id: UploadId, now: datetime) -> None:
        """Let an upload, with which nobody goes on, be among the expired."""
        self._connection.execute(
            text("UPDATE model_uploads SET expires_at = :now, completing_until = NULL WHERE id = :id"),
            {"id": upload_id, "now": now},
        )

    def expired(self, now: datetime, limit: int) -> list[Upload]:
        """Uploads that nobody went on with in time, locked; those that somebody else has locked are left to them."""
        return self._found(
            "SELECT {} FROM model_uploads WHERE expires_at <= :now"
            " AND (completing_until IS NULL OR completing_until <= :now) ORDER BY expires_at LIMIT :limit"
            " FOR UPDATE SKIP LOCKED",
            now=now,
            limit=limit,
        )

    def forget(self, uploads: Sequence[UploadId]) -> None:
        """Drop uploads with what is recorded of their chunks."""
        self._connection.execute(text("DELETE FROM model_uploads WHERE id = ANY(:ids)"), {"ids": list(uploads)})

    def _found(self, statement: str, **binds: object) -> list[Upload]:
        rows: Any = self._connection.execute(text(statement.format(_COLUMNS)), binds)
        return [Upload(*row) for row in rows]
