-- work_fail as it was before deaths left letters.
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
        RETURNING i.id, i.unit_id, i.lease_id, i.order_id
    ), resent AS (
        UPDATE units SET resend_at = clock_timestamp() WHERE id IN (SELECT unit_id FROM returned)
    ), remembered AS (
        INSERT INTO trust_events (id, node_id, account_id, kind, count, at)
        SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
                   substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                   FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid,
               n.id, o.account_id, 'failed', count(*), clock_timestamp()
        FROM returned r
        JOIN leases l ON l.id = r.lease_id
        JOIN nodes n ON n.id = l.node_id
        JOIN orders o ON o.id = r.order_id
        WHERE o.account_id <> n.account_id GROUP BY n.id, o.account_id
    )
    SELECT id FROM returned
$$;

DROP FUNCTION message_bury;
DROP FUNCTION id_now;
