"""What admins decided for markets; a market of which nothing was decided has the defaults."""

from sqlalchemy import Connection, Row, text

from backend.domain.market_rules import MarketRule
from backend.domain.pricing import Control, Market
from backend.storage.rows import insert_rows
from backend.storage.tables import MarketRuleRow


class MarketRuleRepository:
    """Rules by market."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, market: Market) -> MarketRule:
        """A market's rules as they are now."""
        row = self._connection.execute(
            text(
                "SELECT resource_class, region, mechanism, floor_nano, cap_nano, target_ppm FROM market_rules"
                " WHERE resource_class = :resource_class AND region = :region"
            ),
            {"resource_class": market.resource_class, "region": market.region},
        ).one_or_none()
        return _rule(row) if row else MarketRule(market)

    def effective(self) -> list[MarketRule]:
        """The rules of every market that has a price or rules of its own."""
        rows = self._connection.execute(
            text(
                "SELECT resource_class, region, mechanism, floor_nano, cap_nano, target_ppm FROM market_rules"
                " UNION ALL SELECT m.resource_class, m.region, NULL, NULL, NULL, NULL FROM markets m WHERE NOT EXISTS"
                " (SELECT 1 FROM market_rules r WHERE r.resource_class = m.resource_class AND r.region = m.region)"
                " ORDER BY 1, 2"
            )
        )
        return [_rule(row) for row in rows]

    def lock(self, market: Market) -> MarketRule:
        """A market's rules, which nobody else changes until the transaction ends; also of one that has none yet."""
        self._connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('market rules', 0))"))
        return self.of(market)

    def put(self, rule: MarketRule) -> None:
        """Record a market's rules in place of those that it had."""
        row = {
            "resource_class": rule.market.resource_class,
            "region": rule.market.region,
            "mechanism": rule.mechanism,
            "floor_nano": rule.control.floor_nano,
            "cap_nano": rule.control.cap_nano,
            "target_ppm": rule.control.target_ppm,
        }
        insert_rows(
            self._connection,
            MarketRuleRow,
            [row],
            "ON CONFLICT (resource_class, region) DO UPDATE SET mechanism = excluded.mechanism,"
            " floor_nano = excluded.floor_nano, cap_nano = excluded.cap_nano, target_ppm = excluded.target_ppm",
        )

    def drop(self, market: Market) -> bool:
        """Let a market have the defaults again; False if it had them."""
        done = self._connection.execute(
            text("DELETE FROM market_rules WHERE resource_class = :resource_class AND region = :region"),
            {"resource_class": market.resource_class, "region": market.region},
        )
        return done.rowcount > 0


def _rule(row: Row[tuple[object, ...]]) -> MarketRule:
    market = Market(row.resource_class, row.region)
    if row.mechanism is None:
        return MarketRule(market)
    return MarketRule(market, row.mechanism, Control(row.floor_nano, row.cap_nano, row.target_ppm), own=True)
