"""What bills, payouts, disputes and metered usage say of the ledger, against the ledger itself: queries of the audit.

Each gives id, name, recorded and computed of what differs; `only` narrows it to the ledger accounts in `:accounts`.
"""

OWNERS = "(SELECT owner_id FROM ledger_accounts WHERE id = ANY(:accounts))"

# What a payout should have of its hold: all of it while it waits or is given up, its payment once it was posted.
CLAIMED_NANO = """
    CASE WHEN e.id IS NULL THEN 0
         WHEN p.state IN ('requested', 'approved')
             THEN CASE h.state WHEN 'pending' THEN h.amount_nano - h.captured_nano - h.released_nano ELSE 0 END
         WHEN p.state NOT IN ('posted', 'returned') THEN h.released_nano
         WHEN (p.state = 'returned') = (r.id IS NOT NULL) THEN coalesce(t.amount_nano, 0) ELSE 0 END
"""
PAYOUTS = """
    payouts p LEFT JOIN holds h ON h.id = p.hold_id
    LEFT JOIN ledger_accounts e ON e.id = h.account_id AND e.owner_id = p.account_id AND e.kind = 'earnings'
    LEFT JOIN transfers t ON t.reference = p.reference AND t.kind = 'payout' AND t.hold_id = h.id AND t.debit_id = e.id
    LEFT JOIN transfers r ON r.original_id = t.id AND r.kind = 'reversal'
"""


def payouts(only: bool) -> str:
    """Payouts that their holds and payments do not cover, and payments that no payout has."""
    return f"""
        SELECT p.id, owner.name, p.amount_nano AS recorded, {CLAIMED_NANO} AS computed
        FROM {PAYOUTS} JOIN accounts owner ON owner.id = p.account_id
        WHERE p.amount_nano <> {CLAIMED_NANO} {f"AND p.account_id IN {OWNERS}" if only else ""}
        UNION ALL
        SELECT t.id, owner.name, 0, t.amount_nano
        FROM transfers t JOIN ledger_accounts a ON a.id = t.debit_id LEFT JOIN accounts owner ON owner.id = a.owner_id
        WHERE t.kind = 'payout' {"AND t.debit_id = ANY(:accounts)" if only else ""} AND NOT EXISTS (
            SELECT 1 FROM payouts p
            WHERE p.hold_id = t.hold_id AND p.reference = t.reference AND p.state IN ('posted', 'returned'))
        ORDER BY 1 LIMIT :most
    """


def lines(only: bool) -> str:
    """Documents that their lines do not add up to, in nano-credits or else in cents, which are told in the former."""
    return f"""
        SELECT d.id, concat_ws(' ', owner.name, d.number) AS name,
               CASE WHEN d.total_nano <> l.nano THEN d.total_nano ELSE d.total_cents * 10000000 END AS recorded,
               CASE WHEN d.total_nano <> l.nano THEN l.nano ELSE l.cents * 10000000 END AS computed
        FROM documents d JOIN accounts owner ON owner.id = d.account_id CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_nano), 0) AS nano, coalesce(sum(cents), 0) AS cents
            FROM document_lines WHERE document_id = d.id
        ) l
        WHERE (d.total_nano <> l.nano OR d.total_cents <> l.cents) {f"AND d.account_id IN {OWNERS}" if only else ""}
        ORDER BY d.id LIMIT :most
    """


# What an invoice's wallet moved on one side in its period. What it took in of other periods it names in its lines, as
# a credit note does; the reversal of a deposit is no bill's business.
_OF_PERIOD = """
    SELECT i.id, {sign}t.amount_nano AS nano
    FROM issued i JOIN transfers t ON t.{side} = i.wallet_id AND t.kind <> 'deposit'
        AND t.created_at >= i.period_start AND t.created_at < i.period_end
    LEFT JOIN reversed r ON r.id = t.id
    WHERE i.kind = 'invoice' AND (t.kind <> 'reversal' OR (
        r.kind <> 'deposit' AND r.created_at >= i.period_start AND r.created_at < i.period_end))
"""


def billed(only: bool) -> str:
    """Final and paid documents that are not what the account's wallet moved in their period, to the nano."""
    return f"""
        WITH issued AS (
            SELECT d.*, w.id AS wallet_id
            FROM documents d JOIN ledger_accounts w ON w.owner_id = d.account_id AND w.kind = 'wallet'
            WHERE d.state IN ('final', 'paid') {f"AND d.account_id IN {OWNERS}" if only else ""}
        ), reversed AS (
            SELECT r.id, o.kind, o.created_at FROM transfers r JOIN transfers o ON o.id = r.original_id
            WHERE r.kind = 'reversal'
        ), moved AS (
            SELECT id, sum(nano) AS nano FROM (
                {_OF_PERIOD.format(side="debit_id", sign="")}
                UNION ALL {_OF_PERIOD.format(side="credit_id", sign="-")}
                UNION ALL
                SELECT i.id, CASE i.wallet_id WHEN t.debit_id THEN t.amount_nano
                                              WHEN t.credit_id THEN -t.amount_nano END
                FROM issued i JOIN document_lines l ON l.document_id = i.id
                JOIN transfers t ON t.id = l.transfer_id AND t.kind = 'reversal'
            ) entries GROUP BY id
        )
        SELECT i.id, concat_ws(' ', owner.name, i.number) AS name, i.total_nano AS recorded,
               coalesce(m.nano, 0) AS computed
        FROM issued i JOIN accounts owner ON owner.id = i.account_id LEFT JOIN moved m ON m.id = i.id
        WHERE i.total_nano <> coalesce(m.nano, 0) ORDER BY i.id LIMIT :most
    """


def disputes(only: bool) -> str:
    """Disputes of which something else was withheld, restored or given back than they say."""
    return f"""
        SELECT d.id, owner.name, said.nano AS recorded, said.moved AS computed
        FROM disputes d JOIN accounts owner ON owner.id = d.account_id CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_nano) FILTER (WHERE kind = 'withhold'
                       AND starts_with(reference, concat('dispute ', d.id, ' '))), 0) AS withheld,
                   coalesce(sum(amount_nano) FILTER (WHERE kind = 'restore' AND at_end), 0) AS restored,
                   coalesce(sum(amount_nano) FILTER (WHERE kind IN ('reversal', 'refund') AND at_end), 0)
                   - coalesce(sum(amount_nano) FILTER (
                       WHERE kind IN ('charge', 'fee') AND original_id IS NOT NULL AND at_end), 0) AS refunded
            FROM (SELECT t.*, t.created_at = d.resolved_at AS at_end FROM transfers t WHERE t.order_id = d.order_id) t
        ) m CROSS JOIN LATERAL (VALUES
            (d.withheld_nano, m.withheld),
            (CASE d.state WHEN 'open' THEN 0 ELSE d.withheld_nano END, m.restored),
            (coalesce(d.refunded_nano, 0), m.refunded)
        ) said (nano, moved)
        WHERE said.nano <> said.moved {f"AND d.account_id IN {OWNERS}" if only else ""} ORDER BY d.id LIMIT :most
    """


def promises(only: bool) -> str:
    """SLA windows of which something else was withheld, restored or credited than they say, and withheld accounts with
    less than open windows and disputes have there.
    """
    of = f"IN {OWNERS}" if only else "IS NOT NULL"
    return f"""
        SELECT w.id, concat_ws(' ', owner.name, w.tier) AS name, said.nano AS recorded, said.moved AS computed
        FROM sla_windows w JOIN accounts owner ON owner.id = w.provider_id
        LEFT JOIN (
            SELECT s.window_id, sum(s.withheld_nano) AS said, sum(t.amount_nano) AS moved
            FROM (
                SELECT window_id, order_id AS of, withheld_nano FROM sla_shares
                UNION ALL SELECT window_id, session_window_id, withheld_nano FROM sla_session_shares
            ) s LEFT JOIN transfers t
                ON t.reference = concat('sla ', s.window_id, ' ', s.of) AND t.kind = 'withhold'
            GROUP BY s.window_id
        ) shared ON shared.window_id = w.id
        LEFT JOIN transfers more ON more.reference = concat('sla ', w.id, ' more') AND more.kind = 'withhold'
        LEFT JOIN transfers paid ON paid.reference = concat('sla ', w.id) AND paid.kind = 'sla_credit'
        LEFT JOIN transfers back ON back.reference = concat('sla ', w.id, ' back') AND back.kind = 'restore'
        CROSS JOIN LATERAL (VALUES
            (coalesce(shared.said, 0), coalesce(shared.moved, 0)),
            (w.withheld_nano, coalesce(shared.said, 0) + coalesce(more.amount_nano, 0)),
            (w.credit_nano, coalesce(paid.amount_nano, 0)),
            (CASE w.state WHEN 'open' THEN 0 ELSE w.withheld_nano - w.credit_nano END, coalesce(back.amount_nano, 0))
        ) said (nano, moved)
        WHERE said.nano <> said.moved AND w.provider_id {of}
        UNION ALL
        SELECT a.id, owner.name, a.posted_nano, claimed.nano
        FROM ledger_accounts a JOIN accounts owner ON owner.id = a.owner_id JOIN (
            SELECT account_id, sum(nano) AS nano FROM (
                SELECT v.id AS account_id, w.withheld_nano AS nano
                FROM sla_windows w JOIN ledger_accounts v ON v.owner_id = w.provider_id AND v.kind = 'withheld'
                WHERE w.state = 'open'
                UNION ALL
                SELECT t.credit_id, t.amount_nano FROM disputes d JOIN transfers t ON t.order_id = d.order_id
                    AND t.kind = 'withhold' AND starts_with(t.reference, concat('dispute ', d.id, ' '))
                WHERE d.state = 'open'
            ) claims GROUP BY account_id
        ) claimed ON claimed.account_id = a.id
        WHERE a.posted_nano < claimed.nano AND a.owner_id {of}
        ORDER BY 1 LIMIT :most
    """


def usage(only: bool) -> str:
    """Metered usage that is charged and was paid otherwise, or that is not and was paid all the same."""
    return f"""
        SELECT u.id, owner.name, u.nano AS recorded, coalesce(stands.nano, u.captured_nano, 0) AS computed
        FROM (
            SELECT u.id, u.account_id, u.state, u.transfer_id, h.captured_nano,
                   CASE u.state WHEN 'charged' THEN u.amount_nano ELSE 0 END AS nano
            FROM usage_events u LEFT JOIN holds h ON h.id = u.id AND u.transfer_id IS NULL
        ) u
        JOIN accounts owner ON owner.id = u.account_id
        LEFT JOIN (
            SELECT t.id, t.amount_nano AS nano FROM transfers t
            WHERE t.kind IN ('charge', 'fee') AND NOT EXISTS (
                SELECT 1 FROM transfers r WHERE r.original_id = t.id AND r.kind = 'reversal')
        ) stands ON stands.id = u.transfer_id
        WHERE u.nano <> coalesce(stands.nano, u.captured_nano, 0)
        AND (u.state = 'charged' OR NOT EXISTS (  -- the credits fund may have paid it back
            SELECT 1 FROM transfers f WHERE f.reference = concat('instead of reversing ', stands.id)))
        {f"AND u.account_id IN {OWNERS}" if only else ""} ORDER BY u.id LIMIT :most
    """


def requests(only: bool) -> str:
    """Allowances whose use, lease by lease, is not what was captured from their holds."""
    return f"""
        SELECT o.id, owner.name, u.nano AS recorded, c.nano AS computed
        FROM gateway_orders g JOIN orders o ON o.id = g.order_id AND o.workload = 'requests'
        JOIN accounts owner ON owner.id = o.account_id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(charged_nano), 0) AS nano FROM pooled_uses WHERE order_id = o.id
        ) u CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_nano), 0) AS nano FROM transfers WHERE order_id = o.id AND hold_id IS NOT NULL
        ) c
        WHERE u.nano <> c.nano {f"AND o.account_id IN {OWNERS}" if only else ""} ORDER BY o.id LIMIT :most
    """
