"""What wallets moved, by what it was for: the statement behind every line of a document.

One statement for any number of accounts and transfers; what comes back are sums, a row per line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.bill_lines import Movement
from backend.domain.ids import AccountId, LedgerAccountId


@dataclass(frozen=True, slots=True)
class Asked:
    """A wallet, and from when until when its movements are asked for."""

    account_id: AccountId
    wallet_id: LedgerAccountId
    since: datetime
    until: datetime


# All that touched a wallet in its period; deposits are no bill's business, and their reversals are left out below.
_OF_PERIOD = """
    SELECT a.account_id, a.since, a.until, t.id, t.kind, t.hold_id, t.order_id, t.original_id, t.created_at,
           t.amount_nano AS cost_nano
    FROM asked a JOIN transfers t ON t.debit_id = a.wallet_id
    WHERE t.created_at >= a.since AND t.created_at < a.until
    UNION ALL
    SELECT a.account_id, a.since, a.until, t.id, t.kind, t.hold_id, t.order_id, t.original_id, t.created_at,
           -t.amount_nano
    FROM asked a JOIN transfers t ON t.credit_id = a.wallet_id
    WHERE t.created_at >= a.since AND t.created_at < a.until AND t.kind <> 'deposit'
"""
# A reversal belongs to the invoice of its own period, unless what it reverses is on an issued invoice already: then it
# belongs to that one's credit note.
_LATE = "m.kind = 'reversal' AND (o.created_at < m.since OR o.created_at >= m.until)"
_CREDITED = f"""
    {_LATE} AND EXISTS (
        SELECT 1 FROM documents d WHERE d.account_id = m.account_id AND d.kind = 'invoice'
        AND d.state IN ('final', 'paid') AND o.created_at >= d.period_start AND o.created_at < d.period_end)
"""
# Reversals from outside of a period of what a wallet moved within it.
_SINCE_PERIOD = """
    SELECT a.account_id, a.since, a.until, t.id, t.kind, t.hold_id, t.order_id, t.original_id, t.created_at,
           CASE WHEN t.debit_id = a.wallet_id THEN t.amount_nano ELSE -t.amount_nano END AS cost_nano
    FROM asked a JOIN (
        SELECT id, debit_id AS wallet_id, created_at FROM transfers
        UNION ALL SELECT id, credit_id, created_at FROM transfers
    ) o ON o.wallet_id = a.wallet_id AND o.created_at >= a.since AND o.created_at < a.until
    JOIN transfers t ON t.original_id = o.id AND t.kind = 'reversal'
    WHERE t.created_at < a.since OR t.created_at >= a.until
"""
_LABELLED = """
    WITH RECURSIVE asked AS (
        SELECT * FROM unnest(CAST(:accounts AS uuid[]), CAST(:wallets AS uuid[]), CAST(:since AS timestamptz[]),
                             CAST(:until AS timestamptz[])) AS a (account_id, wallet_id, since, until)
    ), moved AS ({moved}),
    up AS (  -- from a correction to what it corrects, and on to what once left a hold
        SELECT id, original_id AS above FROM moved WHERE original_id IS NOT NULL
        UNION ALL SELECT up.id, t.original_id FROM up JOIN transfers t ON t.id = up.above
        WHERE t.original_id IS NOT NULL
    ), roots AS (
        SELECT up.id, t.kind, t.hold_id, t.order_id FROM up JOIN transfers t ON t.id = up.above
        WHERE t.original_id IS NULL
    ), billed AS (
        SELECT m.account_id, m.since, m.until, m.id, m.kind, m.original_id, m.cost_nano,
               m.hold_id IS NOT NULL AS captured,
               coalesce(m.order_id, r.order_id) AS order_id, coalesce(m.hold_id, r.hold_id) AS hold_id,
               {late} AS late
        FROM moved m LEFT JOIN transfers o ON o.id = m.original_id LEFT JOIN roots r ON r.id = m.id
        WHERE coalesce(r.kind, m.kind) <> 'deposit' AND NOT ({credited})
        AND NOT (m.kind = 'reversal' AND EXISTS (SELECT 1 FROM document_lines l WHERE l.transfer_id = m.id))
    ), sources AS (
        SELECT account_id, since, until, order_id, CASE WHEN order_id IS NULL THEN hold_id END AS hold_id,
               CASE WHEN late THEN 'reversal' WHEN original_id IS NOT NULL THEN 'correction'
                    WHEN captured THEN 'captured' ELSE kind END AS kind,
               CASE WHEN late THEN id END AS transfer_id, CASE WHEN late THEN original_id END AS original_id,
               sum(cost_nano) AS cost_nano,
               CASE WHEN bool_or(kind = 'charge') THEN count(*) FILTER (WHERE kind = 'charge') ELSE count(*) END
                   AS charges
        FROM billed GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ), whole AS (  -- orders with all of their charges in the period: how long they ran is what the period is billed for
        SELECT DISTINCT s.account_id, s.order_id FROM sources s
        WHERE s.kind = 'captured' AND s.order_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM transfers t WHERE t.order_id = s.order_id AND t.hold_id IS NOT NULL
            AND (t.created_at < s.since OR t.created_at >= s.until))
    ), ran AS (
        SELECT w.account_id, w.order_id, coalesce(i.us, 0) + coalesce(l.us, 0) + coalesce(p.us, 0) AS quantity_micro
        FROM whole w LEFT JOIN LATERAL (
            SELECT sum(billed_us) AS us FROM work_items WHERE order_id = w.order_id AND state = 'settled'
        ) i ON true LEFT JOIN LATERAL (
            SELECT sum(l.slots * greatest(0, extract(epoch FROM
                       least(v.ends_at, coalesce(l.ended_at, v.ends_at)) - v.starts_at) * 1000000)::bigint) AS us
            FROM leases l JOIN windows v ON v.lease_id = l.id AND v.state = 'settled' WHERE l.order_id = w.order_id
        ) l ON true LEFT JOIN LATERAL (
            SELECT sum(busy_us)::bigint AS us FROM pooled_uses WHERE order_id = w.order_id
        ) p ON true
    )
    SELECT s.account_id,
           CASE WHEN s.kind <> 'captured' THEN s.kind WHEN s.order_id IS NOT NULL THEN coalesce(o.workload, 'other')
                WHEN u.meter IS NOT NULL THEN 'usage' ELSE 'other' END AS kind,
           o.workload, CASE WHEN u.meter IS NULL THEN coalesce(o.tier, h.tier) END AS tier, n.name AS model, u.meter,
           CASE WHEN s.kind = 'captured' THEN coalesce(e.unit, CASE WHEN r.quantity_micro > 0 THEN 'slot-seconds' END)
               END AS unit,
           CASE WHEN s.kind = 'captured' THEN sum(coalesce(u.quantity_micro, nullif(r.quantity_micro, 0)))::bigint END
               AS quantity_micro,
           CASE WHEN s.kind = 'captured' THEN sum(s.charges)::bigint ELSE 0 END AS charges,
           sum(s.cost_nano)::bigint AS amount_nano, s.transfer_id, s.original_id,
           s.kind = 'captured' AND s.order_id IS NOT NULL AND r.order_id IS NULL AS shared
    FROM sources s
    LEFT JOIN orders o ON o.id = s.order_id LEFT JOIN models n ON n.id = o.model_id
    LEFT JOIN holds h ON h.id = s.hold_id
    LEFT JOIN usage_events u ON u.id = s.hold_id  -- usage is charged from a hold that has its id
    LEFT JOIN meters e ON e.name = u.meter
    LEFT JOIN ran r ON r.account_id = s.account_id AND r.order_id = s.order_id
    GROUP BY s.account_id, s.kind, 2, 3, 4, 5, 6, 7, 11, 12, 13
    ORDER BY s.account_id
"""
_MOVEMENTS = text(_LABELLED.format(moved=_OF_PERIOD, late=_LATE, credited=_CREDITED))
_REVERSALS = text(_LABELLED.format(moved=_SINCE_PERIOD, late="true", credited="false"))
_TO_BILL = text("""
    SELECT w.owner_id FROM ledger_accounts w WHERE w.kind = 'wallet' AND (
        EXISTS (SELECT 1 FROM transfers t WHERE t.debit_id = w.id AND t.created_at >= :since AND t.created_at < :until)
        OR EXISTS (SELECT 1 FROM transfers t WHERE t.credit_id = w.id AND t.kind <> 'deposit'
                   AND t.created_at >= :since AND t.created_at < :until))
    ORDER BY w.owner_id
""")
# Invoices with reversals that are on no document; by the index of reversals, which are few.
_TO_CREDIT = text("""
    SELECT DISTINCT d.number
    FROM transfers t JOIN transfers o ON o.id = t.original_id AND o.kind <> 'deposit'
    JOIN ledger_accounts w ON w.id = ANY(ARRAY[t.debit_id, t.credit_id]) AND w.kind = 'wallet'
    JOIN documents d ON d.account_id = w.owner_id AND d.kind = 'invoice' AND d.state IN ('final', 'paid')
         AND o.created_at >= d.period_start AND o.created_at < d.period_end
         AND (t.created_at < d.period_start OR t.created_at >= d.period_end)
    WHERE t.kind = 'reversal' AND t.created_at >= :since
    AND NOT EXISTS (SELECT 1 FROM document_lines l WHERE l.transfer_id = t.id)
    ORDER BY d.number LIMIT :limit
""")


def movements(connection: Connection, asked: Sequence[Asked]) -> dict[AccountId, list[Movement]]:
    """What belongs on each account's invoice of its period; accounts without any are left out."""
    return _grouped(connection.execute(_MOVEMENTS, _binds(asked)))


def reversals(connection: Connection, asked: Asked) -> list[Movement]:
    """Reversals from outside of a period of what was billed in it, which are on no document yet; one by one."""
    return _grouped(connection.execute(_REVERSALS, _binds([asked]))).get(asked.account_id, [])


def accounts_to_bill(connection: Connection, since: datetime, until: datetime) -> list[AccountId]:
    """Accounts whose wallets moved other than by deposits, in id order."""
    return list(connection.execute(_TO_BILL, {"since": since, "until": until}).scalars())


def _binds(asked: Sequence[Asked]) -> dict[str, Any]:
    return {
        "accounts": [a.account_id for a in asked],
        "wallets": [a.wallet_id for a in asked],
        "since": [a.since for a in asked],
        "until": [a.until for a in asked],
    }


def _grouped(rows: Any) -> dict[AccountId, list[Movement]]:
    found: dict[AccountId, list[Movement]] = {}
    for row in rows:
        movement = Movement(
            row.kind,
            row.amount_nano,
            row.workload,
            row.tier,
            row.model,
            row.meter,
            row.charges,
            row.quantity_micro,
            row.unit,
            row.transfer_id,
            row.original_id,
            row.shared,
        )
        found.setdefault(row.account_id, []).append(movement)
    return found


def to_credit(connection: Connection, since: datetime, limit: int) -> list[str]:
    """Numbers of issued invoices of which something was reversed since a moment that is on no document yet."""
    return list(connection.execute(_TO_CREDIT, {"since": since, "limit": limit}).scalars())
