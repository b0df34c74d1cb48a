"""What must hold when everything has ended, whatever happened on the way."""

from collections.abc import Callable, Sequence
from typing import Any

from backend.domain.access import Principal
from backend.domain.ids import OrderId
from backend.services import accounts, audit
from tests.market import Market

Query = Callable[..., Sequence[Any]]

UNEXPLAINED = """
    SELECT id, state, reason FROM orders WHERE id = ANY(:ids)
    AND state <> 'settled' AND NOT (state IN ('failed', 'expired') AND reason IS NOT NULL)
"""
# Each item that ran is charged once and no other at all; the order says what its items say.
MISCHARGED = """
    SELECT o.id, o.state, o.charged_nano, i.* FROM orders o JOIN LATERAL (
        SELECT sum(charged_nano) AS nano, count(*) FILTER (WHERE (state = 'settled') <> (charged_nano > 0)) AS odd,
               count(*) FILTER (WHERE state NOT IN ('settled', 'dead', 'cancelled')) AS unsettled
        FROM work_items WHERE order_id = o.id
    ) i ON true
    WHERE o.id = ANY(:ids) AND (o.charged_nano <> coalesce(i.nano, 0) OR i.odd > 0 OR i.unsettled > 0)
"""
# What moved on the ledger is what the order says, in no more charges than items ran.
MISMOVED = """
    SELECT o.id, o.charged_nano, t.* FROM orders o JOIN LATERAL (
        SELECT coalesce(sum(amount_nano), 0) AS nano, count(*) FILTER (WHERE kind = 'charge') AS charges,
               count(*) FILTER (WHERE kind NOT IN ('charge', 'fee')) AS others
        FROM transfers WHERE order_id = o.id
    ) t ON true
    WHERE o.id = ANY(:ids) AND (t.nano <> o.charged_nano OR t.others > 0 OR t.charges >
        (SELECT count(*) FROM work_items WHERE order_id = o.id AND state = 'settled'))
"""
OVER_ATTEMPTED = "SELECT id, attempt, fence FROM work_items WHERE order_id = ANY(:ids) AND attempt > 3"
WRONG_OUTPUTS = """
    SELECT id, state, outputs FROM work_items WHERE order_id = ANY(:ids) AND state = 'settled'
    AND position(:output IN outputs) = 0
"""
LEAKED_SLOTS = """
    SELECT n.name, n.busy_slots, coalesce(sum(l.slots), 0) AS leased FROM nodes n
    LEFT JOIN leases l ON l.node_id = n.id AND l.state = 'active' GROUP BY n.id
    HAVING n.busy_slots <> coalesce(sum(l.slots), 0)
"""
LEASED_STILL = "SELECT id FROM leases WHERE order_id = ANY(:ids) AND state = 'active'"
PENDING_HOLDS = """
    SELECT h.id, h.state FROM holds h JOIN orders o ON o.hold_id = h.id WHERE o.id = ANY(:ids) AND h.state = 'pending'
"""
MUST_BE_EMPTY = (UNEXPLAINED, MISCHARGED, MISMOVED, OVER_ATTEMPTED, LEASED_STILL, PENDING_HOLDS, LEAKED_SLOTS)
SHOWN_MAX = 5


def prove(market: Market, buyer: Principal, ids: Sequence[OrderId], query: Query, output: bytes) -> None:
    """Every order has ended with one effect or a reason, every item ran to the right result, and no money is odd."""
    for statement in MUST_BE_EMPTY:
        wrong = query(statement, ids=list(ids)) if ":ids" in statement else query(statement)
        assert not wrong, f"{len(wrong)} rows, the first of them {wrong[:SHOWN_MAX]} of{statement}"
    wrong = query(WRONG_OUTPUTS, ids=list(ids), output=output)
    assert not wrong, f"{len(wrong)} items with wrong results, the first of them {wrong[:SHOWN_MAX]}"
    assert accounts.show_account(market.app.uow(), buyer.account_id).reserved_nano == 0
    report = audit.audit_ledger(market.app.uow(), exact=True)
    assert report.ok, report.differences[:SHOWN_MAX]
