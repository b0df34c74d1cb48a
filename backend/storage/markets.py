"""Spot prices, and the supply that they follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from backend.domain.orders import MarketState
from backend.domain.pricing import (
    CAP_NANO,
    DEFAULT_CONTROL,
    FLOOR_NANO,
    TARGET_UTILISATION_PPM,
    Control,
    Market,
    Supply,
    next_spot,
)
from backend.storage.nodes import ALIVE, alive_since
from backend.storage.rows import insert_rows
from backend.storage.tables import MarketRow

_SUPPLY = text(f"""
    SELECT n.resource_class, n.region, m.spot_nano_per_slot_s AS spot, m.priced_at,
           coalesce(r.floor_nano, {FLOOR_NANO}) AS floor_nano, coalesce(r.cap_nano, {CAP_NANO}) AS cap_nano,
           coalesce(r.target_ppm, {TARGET_UTILISATION_PPM}) AS target_ppm,
           count(*) FILTER (WHERE n.alive) AS nodes,
           coalesce(sum(n.slots) FILTER (WHERE n.alive), 0) AS slots,
           coalesce(sum(n.busy_slots) FILTER (WHERE n.alive), 0) AS busy,
           min(n.ask_nano_per_slot_s) FILTER (WHERE n.alive) AS lowest_ask
    FROM (
        SELECT n.resource_class, n.region, n.slots, n.busy_slots, o.ask_nano_per_slot_s, {ALIVE} AS alive
        FROM nodes n JOIN offers o ON o.node_id = n.id AND o.state = 'open' WHERE n.state = 'active'
    ) n LEFT JOIN markets m ON m.resource_class = n.resource_class AND m.region = n.region
    LEFT JOIN market_rules r ON r.resource_class = n.resource_class AND r.region = n.region
    GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2
""")


@dataclass(frozen=True, slots=True)
class PricedSupply:
    """A market's supply of living nodes and its spot price, None before the first epoch."""

    market: Market
    spot_nano: int | None
    priced_at: datetime | None
    nodes: int
    supply: Supply
    control: Control = DEFAULT_CONTROL

    @property
    def quoted_nano(self) -> int:
        """The spot price or, before the first epoch, what it will open at."""
        return self.spot_nano or next_spot(None, self.supply, self.control)


class Capacity(NamedTuple):
    """What a market's machines have together."""

    slots: int
    cores: int
    memory_mb: int
    accelerators: int


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
                Control(row.floor_nano, row.cap_nano, row.target_ppm),
            )
            for row in rows
        ]

    def known(self) -> list[Market]:
        """Every market that a node is or was in, in order of class and region."""
        rows = self._connection.execute(
            text(
                "SELECT resource_class, region FROM nodes UNION SELECT resource_class, region FROM markets"
                " ORDER BY resource_class, region"
            )
        )
        return [Market(row.resource_class, row.region) for row in rows]

    def states(self, now: datetime) -> list[MarketState]:
        """Every market as a placement sees it."""
        return [
            MarketState(
                p.market,
                p.quoted_nano,
                p.supply.slots,
                p.supply.slots - p.supply.busy_slots,
                p.supply.lowest_ask_nano,
            )
            for p in self.supplies(now)
        ]

    def capacity(self, market: Market, now: datetime) -> Capacity:
        """What the living nodes of a market have in all, busy or not."""
        row = self._connection.execute(
            text(
                f"SELECT coalesce(sum(n.slots), 0)::bigint AS slots, coalesce(sum(n.cores), 0)::bigint AS cores,"
                f" coalesce(sum(n.memory_mb), 0)::bigint AS memory_mb,"
                f" coalesce(sum(n.accelerators), 0)::bigint AS accelerators FROM nodes n"
                f" WHERE n.resource_class = :resource_class AND n.region = :region AND n.state = 'active' AND {ALIVE}"
            ),
            {
                "resource_class": market.resource_class,
                "region": market.region,
                "alive_since": alive_since(now),
            },
        ).one()
        return Capacity(row.slots, row.cores, row.memory_mb, row.accelerators)

    def waiting_slots(self) -> dict[Market, int]:
        """Slots that open orders wait for which pay the spot price and would take any node, by market."""
        rows = self._connection.execute(
            text(
                "SELECT o.resource_class, o.region, sum(o.slots) AS slots FROM orders o"
                " JOIN markets m ON m.resource_class = o.resource_class AND m.region = o.region"
                " WHERE o.state = 'open' AND o.limit_nano_per_slot_s >= m.spot_nano_per_slot_s AND o.needs = '{}'"
                " GROUP BY 1, 2"
            )
        )
        return {Market(row.resource_class, row.region): int(row.slots) for row in rows}

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
