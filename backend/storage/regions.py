"""How far regions are from one another."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, text

from backend.storage.rows import insert_rows
from backend.storage.tables import RegionLinkRow


@dataclass(frozen=True, slots=True)
class Link:
    """Two regions, in alphabetical order, and the milliseconds between them."""

    region: str
    other: str
    latency_ms: int


class RegionRepository:
    """Links between regions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def links(self) -> list[Link]:
        """All of them."""
        rows = self._connection.execute(
            text("SELECT region, other, latency_ms FROM region_links ORDER BY region, other")
        )
        return [Link(row.region, row.other, row.latency_ms) for row in rows]

    def links_from(self, homes: Collection[str]) -> dict[str, dict[str, int]]:
        """Per region of these, the milliseconds to others."""
        rows = self._connection.execute(
            text(
                "SELECT region, other, latency_ms FROM region_links WHERE region = ANY(:homes) OR other = ANY(:homes)"
            ),
            {"homes": list(homes)},
        )
        found: dict[str, dict[str, int]] = {home: {} for home in homes}
        for row in rows:
            for home, away in ((row.region, row.other), (row.other, row.region)):
                if home in found:
                    found[home][away] = row.latency_ms
        return found

    def put(self, link: Link) -> None:
        """State or restate a link."""
        insert_rows(
            self._connection,
            RegionLinkRow,
            [{"region": link.region, "other": link.other, "latency_ms": link.latency_ms}],
            "ON CONFLICT (region, other) DO UPDATE SET latency_ms = excluded.latency_ms",
        )

    def drop(self, region: str, other: str) -> Link | None:
        """Forget the link between two regions, given in order; returns what it was, None if there was none."""
        row = self._connection.execute(
            text(
                "DELETE FROM region_links WHERE region = :region AND other = :other RETURNING region, other, latency_ms"
            ),
            {"region": region, "other": other},
        ).one_or_none()
        return Link(row.region, row.other, row.latency_ms) if row else None
