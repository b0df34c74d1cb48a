"""The incremental audit: balances by all transfers up to a mark, so that only newer ones need adding up.

A transfer may be committed after others with a later id, so the mark trails the present; whoever moves it says by how
much. Should one come later still, the balances up to the mark are wrong, not the books: hence `rebuild`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.ids import LedgerAccountId
from backend.storage.audit import AUDIT_TIMEOUT_S, Difference, Figure, Totals

BEGINNING = UUID(int=0)

_MOVED = """
    SELECT account_id, sum(amount_nano) AS by_nano FROM (
        SELECT id, credit_id AS account_id, amount_nano FROM transfers
        UNION ALL SELECT id, debit_id, -amount_nano FROM transfers
    ) entries WHERE {} GROUP BY account_id
"""
_ADVANCE = text(f"""
    INSERT INTO audited_balances (account_id, posted_nano) {_MOVED.format("id > :mark AND id <= :up_to")}
    ON CONFLICT (account_id) DO UPDATE SET posted_nano = audited_balances.posted_nano + excluded.posted_nano
""")
_MARK = text("INSERT INTO audit_mark (id, up_to) VALUES (1, :up_to) ON CONFLICT (id) DO UPDATE SET up_to = :up_to")
_REBUILD = text(f"""
    INSERT INTO audited_balances (account_id, posted_nano)
    SELECT a.id, coalesce(moved.by_nano, 0) FROM ledger_accounts a
    LEFT JOIN ({_MOVED.format("account_id = ANY(:accounts) AND id <= :up_to")}) moved ON moved.account_id = a.id
    WHERE a.id = ANY(:accounts)
    ON CONFLICT (account_id) DO UPDATE SET posted_nano = excluded.posted_nano
""")
_SUSPECTS = text(f"""
    SELECT a.id FROM ledger_accounts a
    LEFT JOIN audited_balances b ON b.account_id = a.id
    LEFT JOIN ({_MOVED.format("id > :up_to")}) moved ON moved.account_id = a.id
    LEFT JOIN (
        SELECT account_id, sum(amount_nano - captured_nano - released_nano) AS reserved
        FROM holds WHERE state = 'pending' GROUP BY account_id
    ) held ON held.account_id = a.id
    WHERE a.posted_nano <> coalesce(b.posted_nano, 0) + coalesce(moved.by_nano, 0)
       OR a.reserved_nano <> coalesce(held.reserved, 0)
    ORDER BY a.id LIMIT :most
""")
_CAPTURED = text("""
    SELECT h.id, owner.name, h.captured_nano AS recorded,
           coalesce(sum(t.amount_nano) FILTER (WHERE t.debit_id = h.account_id), 0) AS computed
    FROM (
        SELECT DISTINCT hold_id FROM transfers WHERE id > :mark AND id <= :up_to AND hold_id IS NOT NULL
    ) touched
    JOIN holds h ON h.id = touched.hold_id JOIN transfers t ON t.hold_id = h.id
    JOIN ledger_accounts a ON a.id = h.account_id LEFT JOIN accounts owner ON owner.id = a.owner_id
    GROUP BY h.id, owner.name HAVING h.captured_nano <> coalesce(
        sum(t.amount_nano) FILTER (WHERE t.debit_id = h.account_id), 0)
    ORDER BY h.id LIMIT :most
""")
_CHARGED = text("""
    SELECT o.id, owner.name, o.charged_nano AS recorded, charged.nano AS computed
    FROM (
        SELECT DISTINCT order_id FROM transfers WHERE id > :mark AND id <= :up_to AND order_id IS NOT NULL
    ) touched
    JOIN orders o ON o.id = touched.order_id JOIN accounts owner ON owner.id = o.account_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(CASE t.kind WHEN 'reversal' THEN -t.amount_nano ELSE t.amount_nano END), 0) AS nano
        FROM transfers t LEFT JOIN transfers original ON original.id = t.original_id AND t.kind = 'reversal'
        WHERE t.order_id = o.id AND (t.kind IN ('charge', 'fee') OR original.kind IN ('charge', 'fee'))
    ) charged
    WHERE o.charged_nano <> charged.nano ORDER BY o.id LIMIT :most
""")
_TOTALS = text("""
    SELECT (SELECT count(*) FROM ledger_accounts) AS accounts,
           (SELECT count(*) FROM transfers WHERE id > :mark) AS transfers,
           (SELECT count(*) FROM holds WHERE state = 'pending') AS holds,
           (SELECT coalesce(sum(posted_nano), 0) FROM ledger_accounts) AS sum
""")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Transfers above `mark` up to and including `up_to`, by id."""

    mark: UUID
    up_to: UUID


class CheckpointRepository:
    """Balances up to the mark, and what has changed since."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take_turn(self) -> None:
        """Wait for other incremental audits, then see one moment until the transaction ends; to be called first.

        The lock comes before the first query, which is what the moment is fixed by.
        """
        self._connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        self._connection.execute(text(f"SET LOCAL statement_timeout = '{AUDIT_TIMEOUT_S}s'"))
        self._connection.execute(text("LOCK TABLE audit_mark IN EXCLUSIVE MODE"))

    def mark(self) -> UUID | None:
        """Up to which transfer balances are added up; None before the first audit."""
        return self._connection.execute(text("SELECT up_to FROM audit_mark")).scalar_one_or_none()

    def advance(self, stretch: Stretch) -> None:
        """Add the transfers of a stretch, which begins at the mark, and move the mark to its end."""
        self._connection.execute(_ADVANCE, {"mark": stretch.mark, "up_to": stretch.up_to})
        self._connection.execute(_MARK, {"up_to": stretch.up_to})

    def suspects(self, up_to: UUID, most: int) -> list[LedgerAccountId]:
        """Accounts, `most` of them, that are not what the mark's balances, newer transfers and pending holds say."""
        rows = self._connection.execute(_SUSPECTS, {"up_to": up_to, "most": most})
        return [LedgerAccountId(row.id) for row in rows]

    def rebuild(self, accounts: Collection[LedgerAccountId], up_to: UUID) -> None:
        """Add these accounts up to the mark anew, from all their transfers."""
        self._connection.execute(_REBUILD, {"accounts": list(accounts), "up_to": up_to})

    def touched(self, stretch: Stretch, most: int) -> list[Difference]:
        """Holds and orders with transfers in a stretch that are not what all their transfers say, `most` of each."""
        binds = {"mark": stretch.mark, "up_to": stretch.up_to, "most": most}
        found: list[Difference] = []
        for figure, query in ((Figure.CAPTURED, _CAPTURED), (Figure.CHARGED, _CHARGED)):
            rows: Any = self._connection.execute(query, binds)
            found += [Difference(figure, row.id, row.recorded, int(row.computed), row.name) for row in rows]
        return found

    def totals(self, mark: UUID) -> Totals:
        """All accounts, the transfers above a mark, and the pending holds."""
        row = self._connection.execute(_TOTALS, {"mark": mark}).one()
        return Totals(row.accounts, row.transfers, row.holds, int(row.sum))
