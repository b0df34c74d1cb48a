"""Limits that were set for single keys."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, KeyId
from backend.domain.rates import OwnLimits, SetBy
from backend.storage.rows import insert_rows
from backend.storage.tables import KeyLimitRow


class RateRepository:
    """Limits by key and by who set them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, key_id: KeyId) -> dict[SetBy, OwnLimits]:
        """What was set for a key; nothing of whoever set nothing."""
        rows = self._connection.execute(
            text(
                "SELECT side, requests_per_minute, tokens_per_minute, in_flight FROM key_limits WHERE key_id = :key_id"
            ),
            {"key_id": key_id},
        )
        return {
            SetBy(row.side): OwnLimits(row.requests_per_minute, row.tokens_per_minute, row.in_flight) for row in rows
        }

    def put(self, key_id: KeyId, side: SetBy, limits: OwnLimits, set_by: AccountId | None, now: datetime) -> None:
        """Record limits in place of those that this side had set."""
        row = {"key_id": key_id, "side": str(side), **asdict(limits), "set_by": set_by, "created_at": now}
        insert_rows(
            self._connection,
            KeyLimitRow,
            [row],
            "ON CONFLICT (key_id, side) DO UPDATE SET requests_per_minute = excluded.requests_per_minute,"
            " tokens_per_minute = excluded.tokens_per_minute, in_flight = excluded.in_flight,"
            " set_by = excluded.set_by, created_at = excluded.created_at",
        )

    def drop(self, key_id: KeyId, sides: Sequence[SetBy]) -> int:
        """Forget what these sides had set; returns how many had."""
        return self._connection.execute(
            text("DELETE FROM key_limits WHERE key_id = :key_id AND side = ANY(:sides)"),
            {"key_id": key_id, "sides": [str(side) for side in sides]},
        ).rowcount
