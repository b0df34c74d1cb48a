"""Claims that ran out: their items go back to be claimed again, or die and leave a letter."""

LAPSE = """
    WITH lapsed AS (
        SELECT i.id,
               CASE WHEN i.attempt = :attempts - 1 AND u.items > 1 THEN id_now() END AS alone
        FROM work_items i JOIN units u ON u.id = i.unit_id WHERE i.state = 'running' AND {which}
        ORDER BY i.id LIMIT :limit FOR UPDATE OF i SKIP LOCKED
    ), apart AS (
        INSERT INTO units (id, queue, priority, sends, resend_at, items)
        SELECT l.alone, u.queue, u.priority, 0, :now, 1
        FROM lapsed l JOIN work_items i ON i.id = l.id JOIN units u ON u.id = i.unit_id WHERE l.alone IS NOT NULL
    ), returned AS (
        UPDATE work_items i SET state = CASE WHEN i.attempt >= :attempts THEN 'dead' ELSE 'queued' END,
               error = CASE WHEN i.attempt >= :attempts THEN coalesce(i.error, 'claim ran out') END,
               unit_id = coalesce(lapsed.alone, i.unit_id)
        FROM lapsed WHERE i.id = lapsed.id
        RETURNING i.id, i.unit_id, i.lease_id, i.order_id, i.state, i.attempt, i.error
    ), resent AS (
        UPDATE units SET resend_at = :now WHERE id IN (SELECT unit_id FROM returned)
    ), buried AS (
        INSERT INTO dead_letters (id, kind, item_id, order_id, unit_id, queue, reason, error, attempts, size_bytes,
                                  digest, died_at)
        SELECT id_now(), 'item', r.id, r.order_id, r.unit_id, u.queue, 'lapsed', r.error, r.attempt,
               octet_length(i.inputs), encode(sha256(i.inputs), 'hex'), :now
        FROM returned r JOIN units u ON u.id = r.unit_id JOIN work_items i ON i.id = r.id WHERE r.state = 'dead'
    )
    SELECT l.node_id, o.account_id, count(*) FROM returned r
    JOIN leases l ON l.id = r.lease_id JOIN orders o ON o.id = r.order_id
    GROUP BY l.node_id, o.account_id ORDER BY l.node_id, o.account_id
"""
"""One statement for the running items that `which` holds for: on work_items `i`, at :now, :limit of them, :attempts.

The last attempt is made alone, in a unit of its own: an item that kills its agents would take its neighbours with it.
"""
