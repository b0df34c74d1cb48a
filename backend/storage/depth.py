"""The open books of all markets: summed up in bands that can be told, or quote by quote for admins."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from backend.domain.depth import Crowd
from backend.domain.ids import AccountId, NodeId, OfferId, OrderId
from backend.domain.pricing import Market
from backend.storage.nodes import ALIVE, alive_since

_OFFERS = f"""
    SELECT n.resource_class, n.region, n.account_id, o.id, o.node_id, n.name, o.version, o.created_at,
           o.ask_nano_per_slot_s AS price, n.slots - n.busy_slots AS slots
    FROM nodes n JOIN offers o ON o.node_id = n.id AND o.state = 'open'
    WHERE n.state = 'active' AND n.busy_slots < n.slots AND {ALIVE}
"""
_ORDERS = """
    SELECT resource_class, region, account_id, id, tier, workload, slots, limit_nano_per_slot_s AS price, placed_at
    FROM orders WHERE state = 'open'
"""
# Per market and set of bands that accounts quote in: how many accounts, and their slots by band. The bands are those
# of domain/depth.py; a market without a price has none.
_CROWDS = """
    SELECT resource_class, region, mask, count(*) AS accounts,
           sum(s0) AS s0, sum(s1) AS s1, sum(s2) AS s2, sum(s3) AS s3
    FROM (
        SELECT resource_class, region, bit_or(1 << band) AS mask,
               coalesce(sum(slots) FILTER (WHERE band = 0), 0) AS s0,
               coalesce(sum(slots) FILTER (WHERE band = 1), 0) AS s1,
               coalesce(sum(slots) FILTER (WHERE band = 2), 0) AS s2,
               coalesce(sum(slots) FILTER (WHERE band = 3), 0) AS s3
        FROM (
            SELECT q.resource_class, q.region, q.account_id, q.slots,
                   CASE WHEN q.price <= m.spot_nano_per_slot_s / 2 THEN 0 WHEN q.price <= m.spot_nano_per_slot_s THEN 1
                        WHEN q.price <= m.spot_nano_per_slot_s * 2 THEN 2 ELSE 3 END AS band
            FROM ({quotes}) q
            JOIN markets m ON m.resource_class = q.resource_class AND m.region = q.region
        ) banded GROUP BY resource_class, region, account_id
    ) accounts GROUP BY 1, 2, 3
"""
_PAGE = """
    SELECT q.* FROM ({quotes}) q
    WHERE (CAST(:resource_class AS text) IS NULL OR q.resource_class = :resource_class)
      AND (CAST(:region AS text) IS NULL OR q.region = :region)
    ORDER BY q.resource_class, q.region, q.price {direction}, q.id LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class BookOrder:
    """An open order as admins may see it; the limit in nano-credits per slot-second."""

    market: Market
    id: OrderId
    account_id: AccountId
    tier: str
    workload: str
    slots: int
    limit_nano: int
    placed_at: datetime


@dataclass(frozen=True, slots=True)
class BookOffer:
    """An open offer with free slots as admins may see it; the ask in nano-credits per slot-second."""

    market: Market
    id: OfferId
    account_id: AccountId
    node_id: NodeId
    node: str
    version: int
    slots_free: int
    ask_nano: int
    offered_at: datetime


class DepthRepository:
    """What is open now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def free(self, now: datetime) -> dict[Market, list[Crowd]]:
        """Who has how many free slots on living nodes, in bands of their asks, by market."""
        return self._crowds(_OFFERS, {"alive_since": alive_since(now)})

    def waiting(self) -> dict[Market, list[Crowd]]:
        """Who waits for how many slots, in bands of their limits, by market."""
        return self._crowds(_ORDERS, {})

    def orders(self, resource_class: str | None, region: str | None, limit: int) -> list[BookOrder]:
        """Open orders of markets, of each the highest limit first."""
        rows = self._connection.execute(
            text(_PAGE.format(quotes=_ORDERS, direction="DESC")),
            {"resource_class": resource_class, "region": region, "limit": limit},
        )
        return [
            BookOrder(
                Market(row.resource_class, row.region),
                OrderId(row.id),
                AccountId(row.account_id),
                row.tier,
                row.workload,
                row.slots,
                row.price,
                row.placed_at,
            )
            for row in rows
        ]

    def offers(self, resource_class: str | None, region: str | None, now: datetime, limit: int) -> list[BookOffer]:
        """Open offers of markets with free slots on living nodes, of each the lowest ask first."""
        rows = self._connection.execute(
            text(_PAGE.format(quotes=_OFFERS, direction="ASC")),
            {"resource_class": resource_class, "region": region, "limit": limit, "alive_since": alive_since(now)},
        )
        return [
            BookOffer(
                Market(row.resource_class, row.region),
                OfferId(row.id),
                AccountId(row.account_id),
                NodeId(row.node_id),
                row.name,
                row.version,
                row.slots,
                row.price,
                row.created_at,
            )
            for row in rows
        ]

    def _crowds(self, quotes: str, binds: dict[str, datetime]) -> dict[Market, list[Crowd]]:
        crowds: dict[Market, list[Crowd]] = defaultdict(list)
        for row in self._connection.execute(text(_CROWDS.format(quotes=quotes)), binds):
            slots = (int(row.s0), int(row.s1), int(row.s2), int(row.s3))
            crowds[Market(row.resource_class, row.region)].append(Crowd(row.mask, row.accounts, slots))
        return crowds
