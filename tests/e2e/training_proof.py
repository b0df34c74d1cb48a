"""What must hold of the money of training jobs when they have ended, whatever happened on the way."""

from collections.abc import Callable, Sequence
from typing import Any

Query = Callable[..., Sequence[Any]]

# An accepted update is charged once, at what its item and its order say; nobody else is charged anything.
MISPAID = """
    SELECT p.state, p.reason, o.state AS order_state, o.charged_nano, i.state AS item_state, i.nano, t.*
    FROM training_participants p JOIN orders o ON o.id = p.order_id
    JOIN LATERAL (SELECT min(state) AS state, count(*) AS items, sum(charged_nano) AS nano
                  FROM work_items WHERE order_id = o.id) i ON true
    JOIN LATERAL (SELECT count(*) FILTER (WHERE kind = 'charge') AS charges,
                         count(*) FILTER (WHERE kind NOT IN ('charge', 'fee')) AS others,
                         coalesce(sum(amount_nano), 0) AS moved
                  FROM transfers WHERE order_id = o.id) t ON true
    WHERE i.items <> 1 OR t.others <> 0 OR t.moved <> o.charged_nano OR coalesce(i.nano, 0) <> o.charged_nano
       OR t.charges <> (CASE WHEN p.state = 'accepted' THEN 1 ELSE 0 END)
       OR (p.state = 'accepted') <> (o.charged_nano > 0) OR (p.state = 'accepted') <> (i.state = 'settled')
"""
UNDECIDED = "SELECT id, state FROM training_participants WHERE state IN ('asked', 'reported')"
ASKED_TWICE = "SELECT round_id, node_id FROM training_participants GROUP BY 1, 2 HAVING count(*) > 1"
# Of one round, only one attempt was ever made into weights, and so paid for.
AGGREGATED_TWICE = """
    SELECT job_id, number FROM training_rounds WHERE state = 'aggregated' GROUP BY 1, 2 HAVING count(*) > 1
"""
PAID_WITHOUT_WEIGHTS = """
    SELECT r.job_id, r.number, r.attempt FROM training_rounds r JOIN training_participants p ON p.round_id = r.id
    WHERE r.state <> 'aggregated' AND p.state = 'accepted'
"""
STILL_HELD = """
    SELECT h.id FROM training_participants p JOIN orders o ON o.id = p.order_id JOIN holds h ON h.id = o.hold_id
    WHERE h.state = 'pending' OR o.closed_at IS NULL
"""
MUST_BE_EMPTY = (MISPAID, UNDECIDED, ASKED_TWICE, AGGREGATED_TWICE, PAID_WITHOUT_WEIGHTS, STILL_HELD)
SHOWN_MAX = 5


def prove_paid_once(query: Query) -> None:
    """Every participant of every job has its verdict, each accepted update was paid for once, and nothing else was."""
    assert query("SELECT 1 FROM training_participants WHERE state = 'accepted' LIMIT 1"), "nobody took part"
    for statement in MUST_BE_EMPTY:
        wrong = query(statement)
        assert not wrong, f"{len(wrong)} rows, the first of them {wrong[:SHOWN_MAX]} of{statement}"
