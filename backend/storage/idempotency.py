"""Answers to requests that carried an idempotency key."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert

from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId
from backend.storage.tables import IdempotencyRow


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was asked under a key, and the answer."""

    body_digest: bytes
    answer: object


class IdempotencyRepository:
    """Keys per account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(self, account: AccountId, idempotency: Idempotency, now: datetime) -> Remembered | None:
        """Take the key for this transaction, or say what it was used for; waits for one that is under way."""
        row = IdempotencyRow
        taken = self._connection.execute(
            insert(row)
            .values(account_id=account, key=idempotency.key, body_digest=idempotency.body_digest, created_at=now)
            .on_conflict_do_nothing()
            .returning(text("1"))
        ).one_or_none()
        if taken:
            return None
        found = self._connection.execute(
            select(row.body_digest, row.answer).where(row.account_id == account, row.key == idempotency.key)
        ).one()
        return Remembered(found.body_digest, found.answer)

    def remember(self, account: AccountId, key: str, answer: object) -> None:
        """Keep the answer with the key."""
        row = IdempotencyRow
        self._connection.execute(update(row).where(row.account_id == account, row.key == key).values(answer=answer))
