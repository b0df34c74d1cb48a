"""The versioned fees of the tiers."""

from datetime import datetime

from sqlalchemy import Connection, text

from backend.domain.fees import FeeVersion
from backend.domain.tiers import TierName
from backend.storage.rows import insert_records
from backend.storage.tables import FeeRow


class FeeRepository:
    """What the market keeps of a charge, by tier and time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def current(self, now: datetime) -> dict[TierName, int]:
        """Each tier's fee at `now`, in parts per million."""
        rows = self._connection.execute(
            text(
                "SELECT DISTINCT ON (tier) tier, fee_ppm FROM fees WHERE valid_from <= :now"
                " ORDER BY tier, valid_from DESC, version DESC"
            ),
            {"now": now},
        )
        return {TierName(row.tier): row.fee_ppm for row in rows}

    def versions(self) -> list[FeeVersion]:
        """All fees that there were, are and will be, in order of tier and version."""
        rows = self._connection.execute(
            text("SELECT tier, version, fee_ppm, valid_from, created_at FROM fees ORDER BY tier, version")
        )
        return [
            FeeVersion(TierName(row.tier), row.version, row.fee_ppm, row.valid_from, row.created_at) for row in rows
        ]

    def lock_latest(self, tier: TierName) -> int:
        """The number of a tier's latest version; nobody else adds one until the transaction ends."""
        self._connection.execute(
            text("SELECT 1 FROM fees WHERE tier = :tier AND version = 1 FOR UPDATE"), {"tier": tier}
        )
        return int(
            self._connection.execute(
                text("SELECT max(version) FROM fees WHERE tier = :tier"), {"tier": tier}
            ).scalar_one()
        )

    def add(self, version: FeeVersion) -> None:
        """Record a new version."""
        insert_records(self._connection, FeeRow, [version])
