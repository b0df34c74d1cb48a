"""Payouts of earnings."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, HoldId, PayoutId
from backend.domain.payouts import Payout, PayoutState
from backend.storage.rows import insert_records, update_rows, values_of
from backend.storage.tables import PayoutRow

_COLUMNS = ", ".join(Payout.__dataclass_fields__)


class PayoutRepository:
    """Payouts. Whoever changes one locks its hold first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, payout: Payout) -> None:
        """Record a new payout."""
        insert_records(self._connection, PayoutRow, [payout])

    def find(self, payout_id: PayoutId) -> Payout | None:
        """The payout of that id."""
        rows = self._select(f"SELECT {_COLUMNS} FROM payouts WHERE id = :id", {"id": payout_id})
        return rows[0] if rows else None

    def newest(
        self, account: AccountId | None, state: PayoutState | None, limit: int, before: PayoutId | None
    ) -> list[Payout]:
        """The newest payouts of an account (None: of everybody), older than `before`."""
        return self._select(
            f"SELECT {_COLUMNS} FROM payouts WHERE (CAST(:account AS uuid) IS NULL OR account_id = :account)"
            f" AND (CAST(:state AS text) IS NULL OR state = :state)"
            f" AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit",
            {"account": account, "state": state, "before": before, "limit": limit},
        )

    def write(self, payout: Payout) -> None:
        """Record what became of a payout."""
        values = values_of(payout)
        kept = ("id", "state", "reference", "reason", "decided_at", "decided_by", "closed_at")
        update_rows(self._connection, PayoutRow, [{name: values[name] for name in kept}])

    def give_back(self, hold: HoldId, now: datetime, reason: str) -> None:
        """Record that what was posted out of a hold came back from the bank."""
        self._connection.execute(
            text(
                "UPDATE payouts SET state = 'returned', reason = :reason, closed_at = :now"
                " WHERE hold_id = :hold AND state = 'posted'"
            ),
            {"hold": hold, "now": now, "reason": reason},
        )

    def _select(self, statement: str, binds: dict[str, Any]) -> list[Payout]:
        rows = self._connection.execute(text(statement), binds)
        return [Payout(**{**row._mapping, "state": PayoutState(row.state)}) for row in rows]
