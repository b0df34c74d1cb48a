"""Recomputing the books from their facts."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that is recorded otherwise than its facts add up to, in nano-credits."""

    what: str
    id: UUID | None
    recorded_nano: int
    computed_nano: int


@dataclass(frozen=True, slots=True)
class Totals:
    """How much was looked at."""

    accounts: int
    transfers: int
    holds: int


_BALANCES = text("""
    WITH moved AS (
        SELECT account_id, sum(amount)::bigint AS posted FROM (
            SELECT credit_id AS account_id, amount_nano AS amount FROM transfers
            UNION ALL SELECT debit_id, -amount_nano FROM transfers
        ) entries GROUP BY account_id
    ), held AS (
        SELECT account_id, sum(amount_nano - captured_nano - released_nano)::bigint AS reserved
        FROM holds WHERE state = 'pending' GROUP BY account_id
    )
    SELECT a.id, a.kind, a.posted_nano, coalesce(moved.posted, 0) AS posted,
           a.reserved_nano, coalesce(held.reserved, 0) AS reserved
    FROM ledger_accounts a LEFT JOIN moved ON moved.account_id = a.id LEFT JOIN held ON held.account_id = a.id
    WHERE a.posted_nano <> coalesce(moved.posted, 0) OR a.reserved_nano <> coalesce(held.reserved, 0)
    ORDER BY a.id LIMIT :most
""")

_CAPTURES = text("""
    SELECT h.id, h.captured_nano, coalesce(c.captured, 0) AS captured
    FROM holds h LEFT JOIN (
        SELECT t.hold_id, sum(t.amount_nano)::bigint AS captured FROM transfers t
        WHERE t.hold_id IS NOT NULL GROUP BY t.hold_id
    ) c ON c.hold_id = h.id
    WHERE h.captured_nano <> coalesce(c.captured, 0) ORDER BY h.id LIMIT :most
""")

_ORDERS = text("""
    SELECT o.id, o.charged_nano, coalesce(t.charged, 0) AS charged
    FROM orders o LEFT JOIN (
        SELECT order_id, sum(amount_nano)::bigint AS charged FROM transfers
        WHERE order_id IS NOT NULL GROUP BY order_id
    ) t ON t.order_id = o.id
    WHERE o.charged_nano <> coalesce(t.charged, 0) ORDER BY o.id LIMIT :most
""")

_TOTALS = text("""
    SELECT (SELECT count(*) FROM ledger_accounts) AS accounts, (SELECT count(*) FROM transfers) AS transfers,
           (SELECT count(*) FROM holds) AS holds, (SELECT coalesce(sum(posted_nano), 0) FROM ledger_accounts) AS sum
""")


class AuditRepository:
    """Every recorded figure against the sum of its facts, in one snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def freeze(self) -> None:
        """Let all that follows in this transaction see one moment; to be called first."""
        self._connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))

    def differences(self, most: int) -> list[Difference]:
        """Where balances, captures or charges are not what transfers and holds say, `most` of each kind."""
        found: list[Difference] = []
        for row in self._connection.execute(_BALANCES, {"most": most}):
            if row.posted_nano != row.posted:
                found.append(Difference(f"{row.kind} balance", row.id, row.posted_nano, row.posted))
            if row.reserved_nano != row.reserved:
                found.append(Difference(f"{row.kind} reserved", row.id, row.reserved_nano, row.reserved))
        for row in self._connection.execute(_CAPTURES, {"most": most}):
            found.append(Difference("hold captured", row.id, row.captured_nano, row.captured))
        for row in self._connection.execute(_ORDERS, {"most": most}):
            found.append(Difference("order charged", row.id, row.charged_nano, row.charged))
        return found

    def totals(self) -> tuple[Totals, int]:
        """What there is, and the sum of all balances, which must be 0."""
        row = self._connection.execute(_TOTALS).one()
        return Totals(row.accounts, row.transfers, row.holds), int(row.sum)
