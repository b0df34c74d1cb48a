"""Meters, their prices, and the usage that was reported.

Whoever charges usage or rates it anew locks the fees account before: that is what makes one event one charge.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, TransferId, UsageId
from backend.domain.metering import Meter, MeterPrice, Span, Usage, UsageState
from backend.storage.rows import insert_records, update_rows
from backend.storage.tables import MeterPriceRow, MeterRow, UsageRow

_METER = "name, unit, provider_id, created_at"
_PRICE = "meter, version, nano_per_unit, valid_from, created_at"
_USAGE = ", ".join(f"u.{name}" for name in Usage.__dataclass_fields__)
# Each version's own range of the index on (meter, occurred_at), from the cursor on.
_OUTDATED = text("""
    SELECT u.id, u.account_id, u.transfer_id, u.occurred_at
    FROM unnest(CAST(:versions AS int[]), CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[]))
        AS v (version, since, until)
    JOIN usage_events u ON u.meter = :meter AND u.occurred_at >= greatest(v.since, :at)
        AND u.occurred_at < coalesce(v.until, 'infinity') AND u.price_version <> v.version
    WHERE u.state <> 'void' AND (u.occurred_at, u.id) > (:at, :id) ORDER BY u.occurred_at, u.id LIMIT :limit
""")
# From a transfer to what it corrects, and on to what once left the hold that has the usage's id.
_REVERSED = text("""
    WITH RECURSIVE up AS (
        SELECT hold_id, original_id FROM transfers WHERE id = ANY(:transfers)
        UNION ALL SELECT t.hold_id, t.original_id FROM up JOIN transfers t ON t.id = up.original_id
    )
    UPDATE usage_events u SET state = 'void' FROM up
    WHERE u.id = up.hold_id AND u.state = 'charged' AND u.transfer_id = ANY(:transfers)
""")
_UNPAID = text("""
    SELECT u.id, u.account_id, u.meter FROM usage_events u
    JOIN ledger_accounts w ON w.owner_id = u.account_id AND w.kind = 'wallet'
    WHERE u.state = 'unpaid' AND u.id > :after AND w.posted_nano - w.reserved_nano >= u.amount_nano
    ORDER BY u.id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Outdated:
    """Usage that was rated at another version than the one valid at its time, as it was when it was looked at."""

    id: UsageId
    account_id: AccountId
    transfer_id: TransferId | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Unpaid:
    """Usage that waits for money, as it was when it was looked at."""

    id: UsageId
    account_id: AccountId
    meter: str


class MeteringRepository:
    """Meters and usage."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_meter(self, meter: Meter) -> bool:
        """Record a new meter; False, and nothing, if its name is taken."""
        return insert_records(self._connection, MeterRow, [meter], "ON CONFLICT DO NOTHING") == 1

    def all_meters(self) -> list[Meter]:
        """Every meter, by name."""
        return [Meter(*row) for row in self._connection.execute(text(f"SELECT {_METER} FROM meters ORDER BY name"))]

    def meters_named(self, names: Collection[str]) -> dict[str, Meter]:
        """The meters of these names."""
        statement = text(f"SELECT {_METER} FROM meters WHERE name = ANY(:names)")
        return {row.name: Meter(*row) for row in self._connection.execute(statement, {"names": list(names)})}

    def lock_meter(self, name: str) -> Meter | None:
        """A meter to set a price of, locked until the transaction ends."""
        statement = text(f"SELECT {_METER} FROM meters WHERE name = :name FOR UPDATE")
        row = self._connection.execute(statement, {"name": name}).one_or_none()
        return Meter(*row) if row else None

    def prices(self, names: Collection[str], *, for_share: bool = False) -> dict[str, list[MeterPrice]]:
        """All prices of meters, in order of their versions; if locked, nobody adds one until the transaction ends."""
        if for_share:
            self._connection.execute(
                text("SELECT 1 FROM meters WHERE name = ANY(:names) ORDER BY name FOR SHARE"), {"names": list(names)}
            )
        statement = text(f"SELECT {_PRICE} FROM meter_prices WHERE meter = ANY(:names) ORDER BY meter, version")
        found: dict[str, list[MeterPrice]] = {}
        for row in self._connection.execute(statement, {"names": list(names)}):
            found.setdefault(row.meter, []).append(MeterPrice(*row))
        return found

    def add_price(self, price: MeterPrice) -> None:
        """Record a new version of a meter's price."""
        insert_records(self._connection, MeterPriceRow, [price])

    def payers(self, ids: Collection[UUID], names: Collection[str]) -> dict[UUID | str, AccountId]:
        """The accounts of these ids and names, by what each was called."""
        statement = text("SELECT id, name FROM accounts WHERE id = ANY(:ids) OR name = ANY(:names)")
        found: dict[UUID | str, AccountId] = {}
        for row in self._connection.execute(statement, {"ids": list(ids), "names": list(names)}):
            found |= {row.id: row.id, row.name: row.id}
        return found

    def known(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Usage]:
        """The usage that was reported before under these pairs of source and event id."""
        pairs = list(keys)
        rows = self._select(
            f"SELECT {_USAGE} FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS k (source, event_id)"
            " JOIN usage_events u USING (source, event_id)",
            {"sources": [source for source, _ in pairs], "ids": [event_id for _, event_id in pairs]},
        )
        return {(usage.source, usage.event_id): usage for usage in rows}

    def add(self, usages: Sequence[Usage]) -> None:
        """Record new usage; fails if a source and event id were recorded before."""
        insert_records(self._connection, UsageRow, usages)

    def find(self, usage_id: UsageId) -> Usage | None:
        """The usage of that id."""
        rows = self._select(f"SELECT {_USAGE} FROM usage_events u WHERE u.id = :id", {"id": usage_id})
        return rows[0] if rows else None

    def lock(self, usages: Collection[UsageId]) -> list[Usage]:
        """The usage named as it is now, row-locked in id order until the transaction ends."""
        return self._select(
            f"SELECT {_USAGE} FROM usage_events u WHERE u.id = ANY(:ids) ORDER BY u.id FOR UPDATE",
            {"ids": list(usages)},
        )

    def unpaid(self, after: UsageId, limit: int) -> list[Unpaid]:
        """The oldest unpaid usage above an id whose wallet could pay it; not locked."""
        rows = self._connection.execute(_UNPAID, {"after": after, "limit": limit})
        return [Unpaid(*row) for row in rows]

    def outdated(self, meter: str, valid: Sequence[Span], at: datetime, after: UsageId, limit: int) -> list[Outdated]:
        """Usage of a meter that was rated at another version, in order of time and id above these; not locked."""
        binds = {
            "versions": [span.price.version for span in valid],
            "since": [span.price.valid_from for span in valid],
            "until": [span.until for span in valid],
        }
        rows = self._connection.execute(_OUTDATED, binds | {"meter": meter, "at": at, "id": after, "limit": limit})
        return [Outdated(*row) for row in rows]

    def write(self, usages: Sequence[Usage]) -> None:
        """Record what became of usage that is locked."""
        kept = ("id", "price_version", "amount_nano", "state", "transfer_id")
        update_rows(self._connection, UsageRow, [{name: getattr(usage, name) for name in kept} for usage in usages])

    def void_charged_by(self, transfers: Collection[TransferId]) -> None:
        """Take back the usage that these charges, which are locked, stand for: they were given back."""
        self._connection.execute(_REVERSED, {"transfers": list(transfers)})

    def newest(
        self,
        account: AccountId | None,
        meter: str | None,
        state: UsageState | None,
        limit: int,
        before: UsageId | None,
    ) -> list[Usage]:
        """The usage received last, of one account, meter or state if named, older than `before`."""
        return self._select(
            f"SELECT {_USAGE} FROM usage_events u WHERE (CAST(:account AS uuid) IS NULL OR u.account_id = :account)"
            " AND (CAST(:meter AS text) IS NULL OR u.meter = :meter)"
            " AND (CAST(:state AS text) IS NULL OR u.state = :state)"
            " AND (CAST(:before AS uuid) IS NULL OR u.id < :before) ORDER BY u.id DESC LIMIT :limit",
            {"account": account, "meter": meter, "state": state, "before": before, "limit": limit},
        )

    def _select(self, statement: str, binds: Mapping[str, Any]) -> list[Usage]:
        rows: Any = self._connection.execute(text(statement), dict(binds))
        return [Usage(**{**row._mapping, "state": UsageState(row.state)}) for row in rows]
