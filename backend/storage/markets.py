"""Spot prices, and the supply that they follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from backend.domain.orders import MarketState
from backend.domain.pricing import Market, Supply, next_spot
from backend.storage.nodes import ALIVE, alive_since
from backend.storage.rows import insert_rows
from backend.storage.tables import MarketRow

_SUPPLY = text(f"""
    SELECT n.resource_class, n.region, m.spot_nano_per_slot_s AS spot, m.priced_at,
           count(*) FILTER (WHERE n.alive) AS nodes,
           coalesce(sum(n.slots) FILTER (WHERE n.alive), 0) AS slots,
           coalesce(sum(n.busy_slots) FILTER (WHERE n.alive), 0) AS busy,
           min(n.ask_nano_per_slot_s) FILTER (WHERE n.alive) AS lowest_ask
    FROM (
        SELECT n.resource_class, n.region, n.slots, n.busy_slots, o.ask_nano_per_slot_s, {ALIVE} AS alive
        FROM nodes n JOIN offers o ON o.node_id = n.id AND o.state = 'open' WHERE n.state = 'active'
    ) n LEFT JOIN markets m ON m.resource_class = n.resource_class AND m.region = n.region
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
""")


@dataclass(frozen=True, slots=True)
class PricedSupply:
    """A market's supply of living nodes and its spot price, None before the first epoch."""

    market: Market
    spot_nano: int | None
    priced_at: datetime | None
    nodes: int
    supply: Supply


class MarketRepository:
    """Markets are where nodes are: a class and region with at least one open offer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def supplies(self, now: datetime) -> list[PricedSupply]:
        """Every market with its supply."""
        rows = self._connection.execute(_SUPPLY, {"alive_since": alive_since(now)})
        return [
            PricedSupply(
                Market(row.resource_class, row.region),
                row.spot,
                row.priced_at,
                row.nodes,
                Supply(int(row.slots), int(row.busy), row.lowest_ask),
            )
            for row in rows
        ]

    def states(self, now: datetime) -> list[MarketState]:
        """Every market as a placement sees it."""
        return [
            MarketState(
                p.market,
                p.spot_nano or next_spot(None, p.supply),
                p.supply.slots,
                p.supply.slots - p.supply.busy_slots,
                p.supply.lowest_ask_nano,
            )
            for p in self.supplies(now)
        ]

    def lock_pricing(self) -> bool:
        """Become the one who sets prices until the transaction ends; False if somebody else is."""
        return bool(
            self._connection.execute(
                text("SELECT pg_try_advisory_xact_lock(hashtextextended('pricing', 0))")
            ).scalar_one()
        )

    def spot(self, market: Market) -> int | None:
        """The spot price of a market in nano-credits per slot-second, None before its first pricing epoch."""
        return self._connection.execute(
            text(
                "SELECT spot_nano_per_slot_s FROM markets WHERE resource_class = :resource_class AND region = :region"
            ),
            {"resource_class": market.resource_class, "region": market.region},
        ).scalar_one_or_none()

    def set_spots(self, spots: Mapping[Market, tuple[int, int]], now: datetime) -> None:
        """Record spot price and utilisation (parts per million) of markets."""
        insert_rows(
            self._connection,
            MarketRow,
            [
                {
                    "resource_class": market.resource_class,
                    "region": market.region,
                    "spot_nano_per_slot_s": spot_nano,
                    "utilisation_ppm": utilisation_ppm,
                    "priced_at": now,
                }
                for market, (spot_nano, utilisation_ppm) in sorted(spots.items())
            ],
            "ON CONFLICT (resource_class, region) DO UPDATE SET spot_nano_per_slot_s = excluded.spot_nano_per_slot_s,"
            " utilisation_ppm = excluded.utilisation_ppm, priced_at = excluded.priced_at",
        )
