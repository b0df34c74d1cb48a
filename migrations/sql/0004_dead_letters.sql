-- Who dies is recorded in the transaction that it dies in. Of an item's inputs only size and digest are kept.

-- A UUIDv7 as the application makes them: PostgreSQL has no function for it before version 18.
CREATE FUNCTION id_now() RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
               substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
               FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- As before, and an item that is dead now leaves a letter.
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

-- A message that was refused. It counts up the undecided letter of the same one; a queue has at most 1,000 of them
-- (backend/domain/dead_letters.py: MESSAGES_MAX). `unknown_unit` is checked here: nobody else may read the units.
-- Returns whether it was recorded.
CREATE FUNCTION message_bury(
    p_agent uuid, p_queue text, p_reason text, p_error text, p_size int, p_digest text, p_excerpt text, p_unit uuid
) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH buried AS (
        INSERT INTO dead_letters AS d (id, kind, unit_id, queue, reason, error, attempts, size_bytes, digest, excerpt,
                                       died_at)
        SELECT id_now(), 'message', p_unit, left(p_queue, 100), p_reason, left(p_error, 500), 1, p_size,
               left(p_digest, 64), left(p_excerpt, 200), clock_timestamp()
        WHERE p_reason NOT IN ('failed', 'lapsed')
          AND EXISTS (SELECT 1 FROM agents WHERE id = p_agent)
          AND (p_reason <> 'unknown_unit' OR NOT EXISTS (SELECT 1 FROM units WHERE id = p_unit))
          AND (SELECT count(*) FROM dead_letters m
               WHERE m.kind = 'message' AND m.resolution IS NULL AND m.queue = p_queue AND m.digest <> p_digest) < 1000
        ON CONFLICT (queue, digest) WHERE resolution IS NULL AND kind = 'message'
            DO UPDATE SET attempts = d.attempts + 1
        RETURNING 1
    )
    SELECT EXISTS (SELECT 1 FROM buried)
$$;

REVOKE ALL ON FUNCTION id_now, message_bury FROM PUBLIC;
GRANT EXECUTE ON FUNCTION message_bury TO swarmex_node;
