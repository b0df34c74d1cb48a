"""What a backup asks of the database: one moment of it, and what there is at that moment."""

from collections.abc import Mapping

from sqlalchemy import Connection, text

from backend.domain.money import format_credits

SNAPSHOT_STATEMENT_TIMEOUT_S = 1800  # the audit of all that ever happened

_COUNTS = text("""
    SELECT 'accounts' AS name, count(*) AS count FROM accounts
    UNION ALL SELECT 'orders', count(*) FROM orders
    UNION ALL SELECT 'work items', count(*) FROM work_items
    UNION ALL SELECT 'models', count(*) FROM models
    UNION ALL SELECT 'transfers', count(*) FROM transfers
    UNION ALL SELECT 'holds', count(*) FROM holds
""")

_SUMS = text("""
    SELECT kind || ' balances' AS name, sum(posted_nano) AS nano FROM ledger_accounts GROUP BY kind
    UNION ALL SELECT kind || ' reserved', sum(reserved_nano) FROM ledger_accounts WHERE reserved_nano > 0 GROUP BY kind
    UNION ALL SELECT kind || ' transfers', sum(amount_nano) FROM transfers GROUP BY kind
    UNION ALL SELECT state || ' holds', sum(amount_nano) FROM holds GROUP BY state
    UNION ALL SELECT 'captured of holds', coalesce(sum(captured_nano), 0) FROM holds
    UNION ALL SELECT 'released of holds', coalesce(sum(released_nano), 0) FROM holds
""")


class BackupRepository:
    """One moment of the database. The queries fit every schema that there has been."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def freeze(self) -> str:
        """Let all that follows in this transaction see one moment; returns its name, for pg_dump to see the same.

        To be called first; the name is good until the transaction ends.
        """
        self._connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        self._connection.execute(text(f"SET LOCAL statement_timeout = '{SNAPSHOT_STATEMENT_TIMEOUT_S} s'"))
        self._connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # pg_dump is at work
        return str(self._connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())

    def schema_revision(self) -> str | None:
        """The migration that the database is at, None when there is no market in it."""
        if not self._connection.execute(text("SELECT to_regclass('public.alembic_version') IS NOT NULL")).scalar_one():
            return None
        found = self._connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        return None if found is None else str(found)

    def server_major(self) -> int:
        """Major version of the server."""
        number = self._connection.execute(text("SELECT current_setting('server_version_num')::int")).scalar_one()
        return int(number) // 10_000

    def totals(self) -> Mapping[str, str]:
        """Counts, and sums in credits, by what they are of."""
        counts = {row.name: str(row.count) for row in self._connection.execute(_COUNTS)}
        return counts | {row.name: format_credits(int(row.nano)) for row in self._connection.execute(_SUMS)}

    def model_files(self) -> dict[str, str]:
        """SHA-256 of every model file, by its key in the object store."""
        rows = self._connection.execute(
            text(  # also of a schema that has no formats yet
                "SELECT DISTINCT uri, checksum FROM models m"
                " WHERE to_jsonb(m) ->> 'format' IS DISTINCT FROM 'trainer' ORDER BY uri"
            )
        )
        return {row.uri: row.checksum for row in rows}
