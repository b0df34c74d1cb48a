"""Facts that agents share, any number in one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.coordination import Fact, Put

_COLUMNS = "key, value, owner, version, expires_at, written_at"
_LOCK_CLASS = "fact:"
_LOCK_OWNER = "fact owner:"


class FactRepository:
    """A fact whose time is over is not there, whether or not it has been deleted yet."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, owner: str, keys: Collection[str]) -> None:
        """Let nobody else write these keys, or a fact of this owner, until the transaction ends.

        Also keys that do not exist, which row locks cannot do. In one order, so that two callers never wait for each
        other.
        """
        names = [_LOCK_OWNER + owner, *(_LOCK_CLASS + key for key in keys)]
        self._connection.execute(
            text("""
                SELECT pg_advisory_xact_lock(number) FROM (
                    SELECT DISTINCT hashtextextended(name, 0) AS number
                    FROM unnest(CAST(:names AS text[])) AS n (name) ORDER BY 1
                ) ordered
            """),
            {"names": names},
        )

    def of_keys(self, keys: Collection[str], now: datetime) -> dict[str, Fact]:
        """Those of these facts that there are."""
        found = self._facts("key = ANY(:keys) AND (expires_at IS NULL OR expires_at > :now)", keys=list(keys), now=now)
        return {fact.key: fact for fact in found}

    def with_prefix(self, prefix: str, now: datetime, limit: int, after: str = "") -> list[Fact]:
        """Facts whose key begins so, by key, from the one behind `after` on."""
        return self._facts(
            "starts_with(key, :prefix) AND key > :after AND (expires_at IS NULL OR expires_at > :now)"
            " ORDER BY key LIMIT :limit",
            prefix=prefix,
            after=after,
            now=now,
            limit=limit,
        )

    def count_of(self, owner: str, now: datetime) -> int:
        """How many facts an owner has."""
        statement = "SELECT count(*) FROM facts WHERE owner = :owner AND (expires_at IS NULL OR expires_at > :now)"
        return int(self._connection.execute(text(statement), {"owner": owner, "now": now}).scalar_one())

    def write(self, owner: str, puts: Sequence[Put], values: Sequence[str], now: datetime) -> dict[str, Fact]:
        """Write facts, whoever had them, with their values as JSON; returns them by key."""
        rows = self._connection.execute(
            text(f"""
                INSERT INTO facts ({_COLUMNS})
                SELECT v.key, CAST(v.value AS jsonb), :owner, nextval('fact_versions'), v.expires_at, :now
                FROM unnest(CAST(:keys AS text[]), CAST(:values AS text[]), CAST(:expiries AS timestamptz[]))
                     AS v (key, value, expires_at)
                ON CONFLICT (key) DO UPDATE SET value = excluded.value, owner = excluded.owner,
                    version = excluded.version, expires_at = excluded.expires_at, written_at = excluded.written_at
                RETURNING {_COLUMNS}
            """),
            {
                "owner": owner,
                "now": now,
                "keys": [put.key for put in puts],
                "values": list(values),
                "expiries": [None if put.ttl is None else now + put.ttl for put in puts],
            },
        )
        return {row.key: _fact(row) for row in rows}

    def delete(self, keys: Collection[str]) -> None:
        """Forget these facts."""
        self._connection.execute(text("DELETE FROM facts WHERE key = ANY(:keys)"), {"keys": list(keys)})

    def expire(self, now: datetime, limit: int) -> list[str]:
        """Delete facts whose time is over, `limit` at most, those that nobody is writing; returns their keys."""
        rows = self._connection.execute(
            text("""
                DELETE FROM facts WHERE key IN (
                    SELECT key FROM facts WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
                    FOR UPDATE SKIP LOCKED
                ) RETURNING key
            """),
            {"now": now, "limit": limit},
        )
        return [row.key for row in rows]

    def _facts(self, where: str, **binds: object) -> list[Fact]:
        return [
            _fact(row) for row in self._connection.execute(text(f"SELECT {_COLUMNS} FROM facts WHERE {where}"), binds)
        ]


def _fact(row: Any) -> Fact:
    return Fact(*row)
