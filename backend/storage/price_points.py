"""The history of spot prices: a point for every market and pricing epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from backend.domain.advice import UsualPrice
from backend.domain.pricing import Cause, Market, PricePoint
from backend.storage.rows import insert_rows
from backend.storage.tables import PricePointRow

USUAL_HOURS = 23  # how far ahead it is told what a price usually is; an order waits a day at most
USUAL_DAYS = 7  # how many earlier days that is learnt from

_USUAL = text("""
    SELECT m.resource_class, m.region, ahead.hours, count(p.spot) AS days, avg(p.spot) AS spot
    FROM unnest(CAST(:classes AS text[]), CAST(:regions AS text[])) AS m (resource_class, region)
    CROSS JOIN generate_series(1, CAST(:hours AS int)) AS ahead (hours)
    CROSS JOIN generate_series(1, CAST(:days AS int)) AS earlier (days)
    CROSS JOIN LATERAL (
        SELECT p.spot_nano_per_slot_s AS spot FROM price_points p
        WHERE p.resource_class = m.resource_class AND p.region = m.region
          AND p.at <= CAST(:now AS timestamptz) + make_interval(hours => ahead.hours, days => -earlier.days)
          AND p.at > CAST(:now AS timestamptz) + make_interval(hours => ahead.hours - 1, days => -earlier.days)
        ORDER BY p.at DESC LIMIT 1
    ) p
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")
_FORGET = text("""
    DELETE FROM price_points p USING (
        SELECT o.resource_class, o.region, o.at FROM markets m CROSS JOIN LATERAL (
            SELECT resource_class, region, at FROM price_points
            WHERE resource_class = m.resource_class AND region = m.region AND at < :before ORDER BY at LIMIT :limit
        ) o LIMIT :limit
    ) old WHERE p.resource_class = old.resource_class AND p.region = old.region AND p.at = old.at
""")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which part of the history is asked for: of one class, one region, from a moment on, up to another."""

    resource_class: str | None = None
    region: str | None = None
    since: datetime | None = None
    before: datetime | None = None


class PricePointRepository:
    """Points, by market and time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, points: Sequence[PricePoint]) -> None:
        """Record points, in one statement however many they are."""
        rows = [
            {
                "resource_class": point.market.resource_class,
                "region": point.market.region,
                "at": point.at,
                "spot_nano_per_slot_s": point.spot_nano_per_slot_s,
                "utilisation_ppm": point.utilisation_ppm,
                "slots": point.slots,
                "busy_slots": point.busy_slots,
                "cause": point.cause,
            }
            for point in points
        ]
        insert_rows(self._connection, PricePointRow, rows)

    def newest(self, stretch: Stretch, limit: int) -> list[PricePoint]:
        """The newest points of a stretch of the history, newest first, of one moment in order of market."""
        rows = self._connection.execute(
            text(
                "SELECT p.* FROM markets m CROSS JOIN LATERAL ("
                " SELECT * FROM price_points p WHERE p.resource_class = m.resource_class AND p.region = m.region"
                " AND p.at >= coalesce(CAST(:since AS timestamptz), '-infinity')"
                " AND p.at < coalesce(CAST(:before AS timestamptz), 'infinity') ORDER BY p.at DESC LIMIT :limit) p"
                " WHERE (CAST(:resource_class AS text) IS NULL OR m.resource_class = :resource_class)"
                " AND (CAST(:region AS text) IS NULL OR m.region = :region)"
                " ORDER BY p.at DESC, p.resource_class, p.region LIMIT :limit"
            ),
            {
                "resource_class": stretch.resource_class,
                "region": stretch.region,
                "since": stretch.since,
                "before": stretch.before,
                "limit": limit,
            },
        )
        return [
            PricePoint(
                Market(row.resource_class, row.region),
                row.at,
                row.spot_nano_per_slot_s,
                row.utilisation_ppm,
                row.slots,
                row.busy_slots,
                Cause(row.cause),
            )
            for row in rows
        ]

    def usual(self, markets: Sequence[Market], now: datetime) -> list[UsualPrice]:
        """What markets cost at the coming hours' times of earlier days, on average; a point per hour and day."""
        rows = self._connection.execute(
            _USUAL,
            {
                "classes": [market.resource_class for market in markets],
                "regions": [market.region for market in markets],
                "hours": USUAL_HOURS,
                "days": USUAL_DAYS,
                "now": now,
            },
        )
        return [
            UsualPrice(
                Market(row.resource_class, row.region), now + timedelta(hours=row.hours), row.days, round(row.spot)
            )
            for row in rows
        ]

    def forget(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` points from before a moment, each market's oldest first; returns how many."""
        return self._connection.execute(_FORGET, {"before": before, "limit": limit}).rowcount
