"""The versioned tiers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.tiers import TIERS, ResourceClass, Tier, TierName, TierVersion
from backend.storage.rows import insert_rows
from backend.storage.tables import TierRow

_COLUMNS = (
    "tier, version, classes, slots_max, request_cap_nano, month_cap_nano, latency_ms_p95, uptime_ppm, weight,"
    " reserved_ppm, ladder, valid_from, created_at"
)


class TierRepository:
    """What each tier may use and is promised, by time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def current(self, now: datetime) -> dict[TierName, Tier]:
        """Each tier as it is at `now`, in order of size."""
        rows = self._connection.execute(
            text(
                f"SELECT DISTINCT ON (tier) {_COLUMNS} FROM tier_versions WHERE valid_from <= :now"
                f" ORDER BY tier, valid_from DESC, version DESC"
            ),
            {"now": now},
        )
        found = {row.tier: _tier(row) for row in rows}
        return {name: found[name] for name in TierName}

    def versions(self, tier: TierName | None = None) -> list[TierVersion]:
        """All versions that there were, are and will be, of a tier or of all, in order of tier and version."""
        rows = self._connection.execute(
            text(
                f"SELECT {_COLUMNS} FROM tier_versions"
                f" WHERE CAST(:tier AS text) IS NULL OR tier = :tier ORDER BY tier, version"
            ),
            {"tier": tier},
        )
        return [TierVersion(row.version, _tier(row), row.valid_from, row.created_at) for row in rows]

    def lock_latest(self) -> list[TierVersion]:
        """All versions of all tiers, for their shares add up; nobody else adds one until the transaction ends."""
        self._connection.execute(text("SELECT 1 FROM tier_versions WHERE version = 1 ORDER BY tier FOR UPDATE"))
        return self.versions()

    def add(self, versions: Sequence[TierVersion]) -> None:
        """Record new versions."""
        insert_rows(self._connection, TierRow, [_values(version) for version in versions])


def _values(version: TierVersion) -> dict[str, object]:
    tier = version.tier
    return {
        "tier": str(tier.name),
        "version": version.version,
        "classes": [str(resource_class) for resource_class in tier.classes],
        "slots_max": tier.slots_max,
        "request_cap_nano": tier.request_cap_nano,
        "month_cap_nano": tier.month_cap_nano,
        "latency_ms_p95": tier.latency_ms_p95,
        "uptime_ppm": tier.uptime_ppm,
        "weight": tier.weight,
        "reserved_ppm": tier.reserved_ppm,
        "ladder": tier.ladder,
        "valid_from": version.valid_from,
        "created_at": version.created_at,
    }


def _tier(row: Any) -> Tier:
    name = TierName(row.tier)
    return Tier(
        name,
        tuple(ResourceClass(resource_class) for resource_class in row.classes),
        row.slots_max,
        row.request_cap_nano,
        row.month_cap_nano,
        row.latency_ms_p95,
        row.uptime_ppm,
        row.weight,
        row.reserved_ppm,
        tuple((below, credit) for below, credit in row.ladder),
        TIERS[name].rank,
    )
