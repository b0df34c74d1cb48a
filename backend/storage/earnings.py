"""What providers' earnings moved, by kind; read only."""

from typing import Any

from sqlalchemy import Connection, text

from backend.domain.earnings import EarningsLine, EarningsStatement
from backend.domain.ids import AccountId
from backend.domain.periods import Period

_BALANCES = """
    WITH mine AS (SELECT id, kind FROM ledger_accounts WHERE owner_id = :account AND kind IN ('earnings', 'withheld')),
    moved AS (
        SELECT t.id, t.kind, t.order_id, t.original_id, t.created_at, m.kind AS side, t.amount_nano AS nano
        FROM mine m JOIN transfers t ON t.credit_id = m.id WHERE t.created_at < :until
        UNION ALL
        SELECT t.id, t.kind, t.order_id, t.original_id, t.created_at, m.kind, -t.amount_nano
        FROM mine m JOIN transfers t ON t.debit_id = m.id WHERE t.created_at < :until
    )
"""
_MOVED = text(f"""
    {_BALANCES}
    SELECT m.created_at < :since AS before, CASE WHEN m.created_at < :since THEN '' ELSE m.kind END AS kind,
           CASE WHEN m.created_at >= :since AND m.kind = 'reversal' THEN o.kind END AS reverses,
           CASE WHEN m.created_at >= :since THEN w.workload END AS workload,
           count(DISTINCT m.id) AS count,
           coalesce(sum(m.nano) FILTER (WHERE m.side = 'earnings'), 0)::bigint AS earnings_nano,
           coalesce(sum(m.nano) FILTER (WHERE m.side = 'withheld'), 0)::bigint AS withheld_nano
    FROM moved m LEFT JOIN transfers o ON o.id = m.original_id AND m.kind = 'reversal'
    LEFT JOIN orders w ON w.id = m.order_id
    GROUP BY 1, 2, 3, 4 ORDER BY 2, 3 NULLS FIRST, 4 NULLS LAST
""")


class EarningsRepository:
    """Statements of earnings."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def statement(self, account: AccountId, period: Period) -> EarningsStatement:
        """All that an account's earnings moved in a period, and what they were before; one statement."""
        rows: Any = self._connection.execute(
            _MOVED, {"account": account, "since": period.start, "until": period.end}
        ).all()
        before = [row for row in rows if row.before]
        return EarningsStatement(
            account,
            period,
            sum(row.earnings_nano for row in before),
            sum(row.withheld_nano for row in before),
            [EarningsLine(*row[1:]) for row in rows if not row.before],
        )
