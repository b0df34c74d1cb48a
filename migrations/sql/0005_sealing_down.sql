-- Both as they were before any order was private.
CREATE OR REPLACE FUNCTION work_claim(p_agent uuid, p_unit uuid) RETURNS TABLE (
    item_id uuid, fence bigint, attempt int, node_id uuid, "rows" int, inputs bytea, model_id uuid, model_name text,
    model_version int, checksum text, uri text, signature jsonb
)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH free AS (
        SELECT i.id FROM work_items i
        JOIN units u ON u.id = i.unit_id
        JOIN leases l ON l.id = i.lease_id AND l.state = 'active'
        JOIN agents a ON a.id = p_agent AND a.queue = u.queue AND a.state IN ('up', 'draining')
        WHERE i.unit_id = p_unit AND i.state = 'queued'
        ORDER BY i.id FOR UPDATE OF i SKIP LOCKED
    ), claimed AS (
        UPDATE work_items i
        SET state = 'running', attempt = i.attempt + 1, fence = i.fence + 1, agent_id = p_agent,
            claimed_at = clock_timestamp(), claimed_until = clock_timestamp() + interval '3 s'
        FROM free WHERE i.id = free.id
        RETURNING i.id, i.fence, i.attempt, i.lease_id, i.rows, i.inputs, i.order_id
    ), taken AS (
        -- Its messages arrive again, so the next one that is lost is not waited for as long as the last one was.
        UPDATE units SET sends = 1 WHERE id = p_unit AND sends > 1 AND EXISTS (SELECT 1 FROM claimed)
    )
    SELECT c.id, c.fence, c.attempt, l.node_id, c.rows, c.inputs, m.id, m.name, m.version, m.checksum, m.uri,
           m.signature
    FROM claimed c
    JOIN leases l ON l.id = c.lease_id
    JOIN orders o ON o.id = c.order_id
    JOIN models m ON m.id = o.model_id
    ORDER BY c.id
$$;

CREATE OR REPLACE FUNCTION work_fail(p_agent uuid, p_items uuid[], p_fences bigint[], p_errors text[]) RETURNS SETOF uuid
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH mine AS (
        SELECT i.id, v.error FROM work_items i
        JOIN unnest(p_items, p_fences, p_errors) AS v (id, fence, error) ON i.id = v.id AND i.fence = v.fence
        WHERE i.state = 'running' AND i.agent_id = p_agent
        ORDER BY i.id FOR UPDATE OF i
    ), returned AS (
        UPDATE work_items i
        SET state = CASE WHEN i.attempt >= 3 THEN 'dead' ELSE 'queued' END, error = left(mine.error, 500)
        FROM mine WHERE i.id = mine.id
        RETURNING i.id, i.unit_id, i.lease_id, i.order_id, i.state, i.attempt, i.error
    ), resent AS (
        UPDATE units SET resend_at = clock_timestamp() WHERE id IN (SELECT unit_id FROM returned)
    ), buried AS (
        INSERT INTO dead_letters (id, kind, item_id, order_id, unit_id, queue, reason, error, attempts, size_bytes,
                                  digest, died_at)
        SELECT id_now(), 'item', r.id, r.order_id, r.unit_id, u.queue, 'failed', r.error, r.attempt,
               octet_length(i.inputs), encode(sha256(i.inputs), 'hex'), clock_timestamp()
        FROM returned r JOIN units u ON u.id = r.unit_id JOIN work_items i ON i.id = r.id
        WHERE r.state = 'dead'
    ), remembered AS (
        INSERT INTO trust_events (id, node_id, account_id, kind, count, at)
        SELECT id_now(), n.id, o.account_id, 'failed', count(*), clock_timestamp()
        FROM returned r
        JOIN leases l ON l.id = r.lease_id
        JOIN nodes n ON n.id = l.node_id
        JOIN orders o ON o.id = r.order_id
        WHERE o.account_id <> n.account_id GROUP BY n.id, o.account_id
    )
    SELECT id FROM returned
$$;

DROP FUNCTION node_sealing;
DROP FUNCTION is_sealed_for;
