"""The log of clearings: what each saw, sealed, and what it did, so that anybody's claim can be recomputed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, text

from backend.domain.auctions import Fill
from backend.domain.ids import EpochId
from backend.domain.pricing import Market
from backend.storage.tables import EpochRow

_COLUMNS = (
    "id, resource_class, region, mechanism, rules, book_digest, trades_digest, price_nano_per_slot_s, orders, offers,"
    " repeats, cleared_at"
)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One clearing; its price in nano-credits per slot-second, None when nothing traded."""

    id: EpochId
    market: Market
    mechanism: str
    rules: int
    book_digest: bytes
    trades_digest: bytes | None
    price_nano: int | None
    orders: int
    offers: int
    repeats: int
    cleared_at: datetime


class EpochRepository:
    """Clearings, by market and time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, epoch: Epoch, book: bytes) -> None:
        """Log a clearing with its sealed book."""
        self._connection.execute(
            insert(EpochRow).values(
                id=epoch.id,
                resource_class=epoch.market.resource_class,
                region=epoch.market.region,
                mechanism=epoch.mechanism,
                rules=epoch.rules,
                book_digest=epoch.book_digest,
                trades_digest=epoch.trades_digest,
                book=book,
                price_nano_per_slot_s=epoch.price_nano,
                orders=epoch.orders,
                offers=epoch.offers,
                cleared_at=epoch.cleared_at,
            )
        )

    def repeat(self, market: Market, book_digest: bytes, now: datetime) -> bool:
        """Count a clearing that saw what the market's last one saw, and like that one did nothing; whether it did."""
        return (
            self._connection.execute(
                text("""
                    UPDATE epochs SET repeats = repeats + 1, repeated_at = :now
                    WHERE book_digest = :digest AND price_nano_per_slot_s IS NULL AND id = (
                        SELECT id FROM epochs WHERE resource_class = :resource_class AND region = :region
                        ORDER BY cleared_at DESC, id DESC LIMIT 1
                    )
                """),
                {
                    "digest": book_digest,
                    "resource_class": market.resource_class,
                    "region": market.region,
                    "now": now,
                },
            ).rowcount
            > 0
        )

    def find(self, epoch_id: EpochId) -> Epoch | None:
        """The clearing of that id."""
        found = self._select("WHERE id = :id", {"id": epoch_id})
        return found[0] if found else None

    def book(self, epoch_id: EpochId) -> bytes | None:
        """The book of a clearing, as long as it is kept."""
        return self._connection.execute(
            text("SELECT book FROM epochs WHERE id = :id"), {"id": epoch_id}
        ).scalar_one_or_none()

    def newest(self, limit: int, market: Market | None = None) -> list[Epoch]:
        """The last clearings, of one market or of all, newest first."""
        where = "WHERE resource_class = :resource_class AND region = :region" if market else ""
        binds = {"resource_class": market.resource_class, "region": market.region} if market else {}
        return self._select(f"{where} ORDER BY cleared_at DESC, id DESC LIMIT :limit", {"limit": limit, **binds})

    def fills(self, epoch_id: EpochId) -> list[Fill]:
        """What a clearing decided, as its trades tell it."""
        rows: Any = self._connection.execute(
            text(
                "SELECT order_id, offer_id, node_id, slots, price_nano_per_slot_s, earns_nano_per_slot_s FROM trades"
                " WHERE epoch_id = :id ORDER BY order_id, offer_id"
            ),
            {"id": epoch_id},
        )
        return [Fill(*row) for row in rows]

    def forget_books(self, before: datetime, limit: int) -> int:
        """Drop the books of old clearings; what they decided and the digests stay. Returns how many."""
        return self._connection.execute(
            text(
                "UPDATE epochs SET book = NULL WHERE id IN (SELECT id FROM epochs WHERE book IS NOT NULL"
                " AND cleared_at < :before ORDER BY cleared_at LIMIT :limit FOR UPDATE SKIP LOCKED)"
            ),
            {"before": before, "limit": limit},
        ).rowcount

    def _select(self, rest: str, binds: dict[str, Any]) -> list[Epoch]:
        rows = self._connection.execute(text(f"SELECT {_COLUMNS} FROM epochs {rest}"), binds)
        return [
            Epoch(
                row.id,
                Market(row.resource_class, row.region),
                row.mechanism,
                row.rules,
                row.book_digest,
                row.trades_digest,
                row.price_nano_per_slot_s,
                row.orders,
                row.offers,
                row.repeats,
                row.cleared_at,
            )
            for row in rows
        ]
