"""Recomputing the books from their facts: every figure that is recorded beside the sum of what it was made of.

These queries group by account, hold, order or budget and name the culprits; `fingerprints` says faster whether there
are any.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from backend.domain.ids import LedgerAccountId
from backend.domain.tiers import TierName
from backend.storage import audit_claims as claims
from backend.storage.audit_claims import OWNERS

AUDIT_TIMEOUT_S = 600  # a statement of an audit may take longer than those of everyday work


class Figure(StrEnum):
    """What the audit recomputes; a difference's `what` ends with one of these."""

    BALANCE = "balance"
    RESERVED = "reserved"
    CAPTURED = "hold captured"
    HELD = "hold resolved"
    CHARGED = "order charged"
    USED = "budget used"
    REVERSAL = "reversal"
    USAGE = "usage charged"
    LINES = "document lines"
    BILLED = "document billed"
    PAID = "payout paid"
    DISPUTED = "dispute settled"
    PROMISED = "sla settled"
    REQUESTS = "requests charged"
    SUM = "sum of all balances"


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that is recorded otherwise than its facts add up to, in nano-credits; `about` says whose it is."""

    what: str
    id: UUID | None
    recorded_nano: int
    computed_nano: int
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """How much was looked at, and the sum of all balances, which must be 0."""

    accounts: int
    transfers: int
    holds: int
    sum_nano: int


def _balances(only: bool) -> str:
    of = " WHERE {} = ANY(:accounts)" if only else ""
    return f"""
        SELECT coalesce(a.id, moved.account_id, held.account_id) AS id, a.kind, owner.name,
               coalesce(a.posted_nano, 0) AS posted_nano, coalesce(moved.posted, 0) AS posted,
               coalesce(a.reserved_nano, 0) AS reserved_nano, coalesce(held.reserved, 0) AS reserved
        FROM (SELECT * FROM ledger_accounts{of.format("id")}) a
        FULL JOIN (
            SELECT account_id, sum(amount_nano) AS posted FROM (
                SELECT credit_id AS account_id, amount_nano FROM transfers{of.format("credit_id")}
                UNION ALL SELECT debit_id, -amount_nano FROM transfers{of.format("debit_id")}
            ) entries GROUP BY account_id
        ) moved ON moved.account_id = a.id
        FULL JOIN (
            SELECT account_id, sum(left_nano) AS reserved FROM (
                SELECT account_id, amount_nano - captured_nano - released_nano AS left_nano
                FROM holds WHERE state = 'pending'
            ) pending{of.format("account_id")} GROUP BY account_id
        ) held ON held.account_id = a.id
        LEFT JOIN accounts owner ON owner.id = a.owner_id
        WHERE coalesce(a.posted_nano, 0) <> coalesce(moved.posted, 0)
           OR coalesce(a.reserved_nano, 0) <> coalesce(held.reserved, 0)
        ORDER BY 1 LIMIT :most
    """


def _captures(only: bool) -> str:
    return f"""
        SELECT coalesce(h.id, c.hold_id) AS id, owner.name, coalesce(h.captured_nano, 0) AS recorded,
               coalesce(c.captured, 0) AS computed
        FROM (SELECT * FROM holds{" WHERE account_id = ANY(:accounts)" if only else ""}) h
        FULL JOIN (
            SELECT hold_id, debit_id, sum(amount_nano) AS captured FROM transfers
            WHERE hold_id IS NOT NULL{" AND debit_id = ANY(:accounts)" if only else ""} GROUP BY hold_id, debit_id
        ) c ON c.hold_id = h.id AND c.debit_id = h.account_id
        LEFT JOIN ledger_accounts a ON a.id = coalesce(h.account_id, c.debit_id)
        LEFT JOIN accounts owner ON owner.id = a.owner_id
        WHERE coalesce(h.captured_nano, 0) <> coalesce(c.captured, 0) ORDER BY 1 LIMIT :most
    """


# A hold pends while something is left of it, and ends when nothing is: never more than was held is taken or given back.
BROKEN_HOLD = """
    CASE state WHEN 'pending' THEN captured_nano + released_nano >= amount_nano
               ELSE captured_nano + released_nano <> amount_nano END
"""


def _resolved(only: bool) -> str:
    return f"""
        SELECT h.id, owner.name, h.captured_nano + h.released_nano AS recorded, h.amount_nano AS computed
        FROM holds h JOIN ledger_accounts a ON a.id = h.account_id LEFT JOIN accounts owner ON owner.id = a.owner_id
        WHERE {BROKEN_HOLD} {"AND h.account_id = ANY(:accounts)" if only else ""} ORDER BY h.id LIMIT :most
    """


def _orders(only: bool) -> str:
    of = f" AND {{}}.order_id IN (SELECT id FROM orders WHERE account_id IN {OWNERS})" if only else ""
    return f"""
        SELECT coalesce(o.id, t.order_id) AS id, owner.name, coalesce(o.charged_nano, 0) AS recorded,
               coalesce(t.charged, 0) AS computed
        FROM (SELECT * FROM orders{f" WHERE account_id IN {OWNERS}" if only else ""}) o
        FULL JOIN (
            SELECT order_id, sum(amount_nano) AS charged FROM (
                SELECT order_id, amount_nano FROM transfers t
                WHERE kind IN ('charge', 'fee') AND order_id IS NOT NULL{of.format("t")}
                UNION ALL
                SELECT r.order_id, -r.amount_nano FROM transfers r JOIN transfers t ON t.id = r.original_id
                WHERE r.kind = 'reversal' AND t.kind IN ('charge', 'fee') AND r.order_id IS NOT NULL{of.format("r")}
            ) entries GROUP BY order_id
        ) t ON t.order_id = o.id
        LEFT JOIN accounts owner ON owner.id = o.account_id
        WHERE coalesce(o.charged_nano, 0) <> coalesce(t.charged, 0) ORDER BY 1 LIMIT :most
    """


# Which budgets the holds of a wallet count for, by tier ('' is none). One that has ended counts no more; one in force
# counts from the period on that it began in.
_TIERS = ", ".join(f"('{tier}')" for tier in (*TierName, ""))
_BUDGETS = " UNION ALL ".join(
    f"""
    SELECT a.id AS wallet_id, a.owner_id, b.id, b.member_id, t.tier, b.period, b.timezone,
           date_trunc(b.period, b.created_at, b.timezone) AS since
    FROM ledger_accounts a JOIN budgets b ON {whose}
    JOIN (VALUES {_TIERS}) t (tier) ON b.tier IS NULL OR b.tier = t.tier
    WHERE a.kind = 'wallet' AND b.ended_at IS NULL AND b.period IN ('day', 'month')
    """
    for whose in ("b.account_id IS NULL", "b.account_id = a.owner_id")
)
HOLDS_OF_BUDGETS = f"""
    holds h JOIN ({_BUDGETS}) b ON b.wallet_id = h.account_id AND b.tier = coalesce(h.tier, '')
        AND (b.member_id IS NULL OR b.member_id = h.spender_id) AND h.created_at >= b.since
"""
USES_OF_BUDGETS = "budget_uses u JOIN budgets b ON b.id = u.budget_id AND b.ended_at IS NULL"
# As local times: computed for every hold there is, and cheaper so than date_trunc(…, timezone).
HOLD_SINCE = "date_trunc(b.period, h.created_at AT TIME ZONE b.timezone)"
USE_SINCE = "(u.since AT TIME ZONE b.timezone)"


def _uses(only: bool) -> str:
    return f"""
        SELECT coalesce(u.budget_id, c.budget_id) AS id, coalesce(u.used_nano, 0) AS recorded,
               coalesce(c.used, 0) AS computed,
               concat(owner.name, ' since ', to_char(coalesce(u.since, c.since), 'YYYY-MM-DD')) AS name
        FROM (
            SELECT u.budget_id, u.account_id, u.used_nano, {USE_SINCE} AS since FROM {USES_OF_BUDGETS}
            {f"WHERE u.account_id IN {OWNERS}" if only else ""}
        ) u
        FULL JOIN (
            SELECT b.id AS budget_id, b.owner_id, {HOLD_SINCE} AS since, sum(h.amount_nano - h.released_nano) AS used
            FROM {HOLDS_OF_BUDGETS} {"WHERE h.account_id = ANY(:accounts)" if only else ""} GROUP BY 1, 2, 3
        ) c ON c.budget_id = u.budget_id AND c.owner_id = u.account_id AND c.since = u.since
        LEFT JOIN accounts owner ON owner.id = coalesce(u.account_id, c.owner_id)
        WHERE coalesce(u.used_nano, 0) <> coalesce(c.used, 0) ORDER BY 1, name LIMIT :most
    """


_REVERSALS = """
    SELECT r.id, owner.name, r.amount_nano AS recorded,
           CASE WHEN m.mirrored AND NOT m.again THEN t.amount_nano ELSE 0 END AS computed
    FROM transfers r LEFT JOIN transfers t ON t.id = r.original_id AND t.kind <> 'reversal'
    CROSS JOIN LATERAL (
        SELECT (t.debit_id, t.credit_id) IS NOT DISTINCT FROM (r.credit_id, r.debit_id) AS mirrored, EXISTS (
            SELECT 1 FROM transfers o WHERE o.kind = 'reversal' AND o.original_id = r.original_id AND o.id < r.id
        ) AS again
    ) m
    LEFT JOIN ledger_accounts a ON a.id = r.debit_id LEFT JOIN accounts owner ON owner.id = a.owner_id
    WHERE r.kind = 'reversal' AND (NOT m.mirrored OR m.again OR t.amount_nano <> r.amount_nano)
    {of} ORDER BY r.id LIMIT :most
"""


def _reversals(only: bool) -> str:
    return _REVERSALS.format(of="AND (r.debit_id = ANY(:accounts) OR r.credit_id = ANY(:accounts))" if only else "")


_EXACT: dict[Figure, Callable[[bool], str]] = {
    Figure.CAPTURED: _captures,
    Figure.HELD: _resolved,
    Figure.CHARGED: _orders,
    Figure.USED: _uses,
    Figure.REVERSAL: _reversals,
    Figure.USAGE: claims.usage,
    Figure.LINES: claims.lines,
    Figure.BILLED: claims.billed,
    Figure.PAID: claims.payouts,
    Figure.DISPUTED: claims.disputes,
    Figure.PROMISED: claims.promises,
    Figure.REQUESTS: claims.requests,
}


class AuditRepository:
    """Every recorded figure against the sum of its facts, in one snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def freeze(self) -> None:
        """Let all that follows in this transaction see one moment, and take its time; to be called first."""
        self._connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        self._connection.execute(text(f"SET LOCAL statement_timeout = '{AUDIT_TIMEOUT_S}s'"))

    def balances(self, most: int, of: Collection[LedgerAccountId] | None = None) -> list[Difference]:
        """Accounts, `most` of them, whose balance or reserve is not what transfers and holds say."""
        found: list[Difference] = []
        for row in self._rows(_balances, most, of):
            kind = row.kind or "unknown account's"
            if row.posted_nano != row.posted:
                found.append(_difference(f"{kind} {Figure.BALANCE}", row, row.posted_nano, row.posted))
            if row.reserved_nano != row.reserved:
                found.append(_difference(f"{kind} {Figure.RESERVED}", row, row.reserved_nano, row.reserved))
        return found

    def differences(self, figure: Figure, most: int, of: Collection[LedgerAccountId] | None = None) -> list[Difference]:
        """Where anything but a balance is not what transfers and holds say, `most` of them.

        With `of`, only what belongs to these ledger accounts.
        """
        rows = self._rows(_EXACT[figure], most, of)
        return [_difference(figure.value, row, row.recorded, row.computed) for row in rows]

    def accounts_of(self, owner: UUID) -> list[LedgerAccountId]:
        """The ledger accounts of an owner."""
        rows = self._connection.execute(
            text("SELECT id FROM ledger_accounts WHERE owner_id = :owner"), {"owner": owner}
        )
        return [LedgerAccountId(row.id) for row in rows]

    def totals(self, of: Collection[LedgerAccountId]) -> Totals:
        """How much there is of these ledger accounts; the sum is that of all accounts."""
        row = self._connection.execute(
            text(
                "SELECT"
                " (SELECT count(*) FROM transfers WHERE debit_id = ANY(:of) OR credit_id = ANY(:of)) AS transfers,"
                " (SELECT count(*) FROM holds WHERE account_id = ANY(:of)) AS holds,"
                " (SELECT sum(posted_nano) FROM ledger_accounts) AS sum"
            ),
            {"of": list(of)},
        ).one()
        return Totals(len(of), row.transfers, row.holds, int(row.sum))

    def took_us(self) -> int:
        """Microseconds since this transaction began."""
        taken = text("SELECT extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000000")
        return int(self._connection.execute(taken).scalar_one())

    def _rows(self, query: Callable[[bool], str], most: int, of: Collection[LedgerAccountId] | None) -> Sequence[Any]:
        binds: dict[str, object] = {"most": most} if of is None else {"most": most, "accounts": list(of)}
        return self._connection.execute(text(query(of is not None)), binds).all()


def _difference(what: str, row: Any, recorded: Any, computed: Any) -> Difference:
    return Difference(what, row.id, int(recorded), int(computed), row.name)
