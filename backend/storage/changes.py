"""Counters that tell a gateway that something it cached has changed."""

from sqlalchemy import Connection, select, text

from backend.storage.tables import ChangeRow


class ChangeRepository:
    """One counter per kind. Its row lock makes writers of a kind take turns, so that no reader misses a change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def bump(self, kind: str) -> None:
        """Count a change of that kind."""
        self._connection.execute(
            text(
                "INSERT INTO changes (kind, version) VALUES (:kind, 1)"
                " ON CONFLICT (kind) DO UPDATE SET version = changes.version + 1"
            ),
            {"kind": kind},
        )

    def versions(self) -> dict[str, int]:
        """All counters."""
        return {row.kind: row.version for row in self._connection.execute(select(ChangeRow.kind, ChangeRow.version))}
