"""Named resources and who has them."""

from typing import Any

from sqlalchemy import Connection, text

from backend.domain.coordination import FenceStale, NamedLease

_SELECT = "SELECT name, holder, fence, expires_at FROM named_leases"


class NamedLeaseRepository:
    """Rows stay when nobody holds them: a fence never goes back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_free(self, name: str) -> NamedLease | None:
        """The lease of a name, locked until the transaction ends, and made if it is new.

        None while somebody changes it, or writes under its fence: it is not free, and nobody waits to be told so.
        """
        self._connection.execute(
            text("INSERT INTO named_leases (name, fence) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING"),
            {"name": name},
        )
        return self._one(f"{_SELECT} WHERE name = :name FOR UPDATE SKIP LOCKED", name=name)

    def lock(self, name: str) -> NamedLease | None:
        """The lease of a name, if there ever was one; locked until the transaction ends."""
        return self._one(f"{_SELECT} WHERE name = :name FOR UPDATE", name=name)

    def guard(self, name: str, fence: int) -> None:
        """Let the rest of this transaction be the holder's: nobody can acquire the resource before it ends.

        To be called last before the commit. Raises FenceStale if another holder came, or this one released.
        """
        found = self._connection.execute(
            text("SELECT 1 FROM named_leases WHERE name = :name AND fence = :fence AND holder IS NOT NULL FOR SHARE"),
            {"name": name, "fence": fence},
        ).one_or_none()
        if found is None:
            raise FenceStale(name, fence)

    def write(self, lease: NamedLease) -> None:
        """Record what became of a locked lease."""
        self._connection.execute(
            text("UPDATE named_leases SET holder = :holder, fence = :fence, expires_at = :expires WHERE name = :name"),
            {"name": lease.name, "holder": lease.holder, "fence": lease.fence, "expires": lease.expires_at},
        )

    def with_prefix(self, prefix: str, limit: int) -> list[NamedLease]:
        """Leases whose name begins so, by name, held or not."""
        rows: Any = self._connection.execute(
            text(f"{_SELECT} WHERE starts_with(name, :prefix) ORDER BY name LIMIT :limit"),
            {"prefix": prefix, "limit": limit},
        )
        return [NamedLease(*row) for row in rows]

    def _one(self, statement: str, **binds: object) -> NamedLease | None:
        row: Any = self._connection.execute(text(statement), binds).one_or_none()
        return None if row is None else NamedLease(*row)
