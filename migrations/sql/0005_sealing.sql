-- Private orders (backend/domain/private_envelope.py): only a node whose key the order is sealed to, and is verified
-- now, is given its items. A key is shown by its agent every 2 s (backend/domain/sealing_keys.py: SHOWN_EVERY_S); a
-- challenge can be answered for 10 minutes (CHALLENGE_KEPT), a node has at most 8 keys that nobody verified
-- (UNVERIFIED_MAX). A test holds these figures equal.

CREATE FUNCTION is_sealed_for(p_order uuid, p_node uuid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM private_recipients r JOIN sealing_keys k ON k.id = r.key_id
        WHERE r.order_id = p_order AND k.node_id = p_node AND k.state = 'verified'
    )
$$;

-- What an agent has of its nodes' keys: keys that are new are registered, those that opened their challenge proven.
-- Tells the state of each of its nodes' keys, and the challenges that are open. No key is verified here.
CREATE FUNCTION node_sealing(p_agent uuid, p_nodes uuid[], p_publics bytea[], p_answers bytea[]) RETURNS TABLE (
    node_id uuid, state text, challenge bytea
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE sealing_keys k SET state = 'proven', proven_at = clock_timestamp(), challenge = NULL, answer_digest = NULL
    FROM unnest(p_nodes, p_publics, p_answers) AS v (node, public, answer)
    JOIN nodes n ON n.id = v.node
    JOIN agents a ON a.id = p_agent AND a.queue = n.queue
    WHERE k.node_id = n.id AND k.public = v.public AND k.state = 'registered' AND k.answer_digest = sha256(v.answer)
      AND k.challenged_at > clock_timestamp() - interval '10 min';

    UPDATE sealing_keys k SET seen_at = clock_timestamp()
    FROM unnest(p_nodes, p_publics) AS v (node, public)
    JOIN nodes n ON n.id = v.node
    JOIN agents a ON a.id = p_agent AND a.queue = n.queue
    WHERE k.node_id = n.id AND k.public = v.public AND k.seen_at < clock_timestamp() - interval '5 s';

    -- What nobody verified and no agent has any more makes room for what an agent has.
    DELETE FROM sealing_keys k USING unnest(p_nodes) AS v (node), nodes n, agents a
    WHERE n.id = v.node AND a.id = p_agent AND a.queue = n.queue AND k.node_id = n.id
      AND k.state IN ('registered', 'proven') AND k.verified_at IS NULL
      AND k.seen_at < clock_timestamp() - interval '1 hour';

    INSERT INTO sealing_keys (id, node_id, public, state, created_at, seen_at)
    SELECT id_now(), n.id, v.public, 'registered', clock_timestamp(), clock_timestamp()
    FROM unnest(p_nodes, p_publics) AS v (node, public)
    JOIN nodes n ON n.id = v.node
    JOIN agents a ON a.id = p_agent AND a.queue = n.queue
    WHERE octet_length(v.public) = 32
      AND 8 > (SELECT count(*) FROM sealing_keys o WHERE o.node_id = n.id AND o.state IN ('registered', 'proven'))
    ON CONFLICT ON CONSTRAINT uq_sealing_keys_node_id_public DO NOTHING;

    RETURN QUERY
    SELECT n.id, k.state, CASE k.state WHEN 'registered' THEN k.challenge END
    FROM agents a JOIN nodes n ON n.queue = a.queue
    LEFT JOIN unnest(p_nodes, p_publics) AS v (node, public) ON v.node = n.id
    LEFT JOIN sealing_keys k ON k.node_id = n.id AND k.public = v.public
    WHERE a.id = p_agent ORDER BY n.id;
END
$$;

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
          AND (SELECT NOT p.private OR is_sealed_for(p.id, l.node_id) FROM orders p WHERE p.id = i.order_id)
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

-- A private item that a node could not run speaks against nobody: only its sender knows what was in it.
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
        WHERE o.account_id <> n.account_id AND NOT o.private GROUP BY n.id, o.account_id
    )
    SELECT id FROM returned
$$;

REVOKE ALL ON FUNCTION is_sealed_for, node_sealing FROM PUBLIC;
GRANT EXECUTE ON FUNCTION node_sealing TO swarmex_node;
