-- What an executor may do: beat, claim, commit, fail. Owned by the schema's owner (SECURITY DEFINER), executable by
-- the role swarmex_node, which has no other right. A claim lasts 3 s (backend/domain/work.py: CLAIM_S), an item dies
-- after 3 attempts (ATTEMPTS_MAX), outputs are at most 1 MiB (PAYLOAD_BYTES_MAX); a test holds these figures equal.
-- The clock is the database's: an executor's own cannot be trusted.

CREATE FUNCTION agent_beat(
    p_agent uuid, p_name text, p_host text, p_pid int, p_queue text, p_endpoint text, p_token text
) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO agents (id, kind, name, host, pid, queue, endpoint, token, state, started_at, beat_at)
    VALUES (p_agent, 'inference', p_name, p_host, p_pid, p_queue, p_endpoint, p_token, 'up',
            clock_timestamp(), clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp(), endpoint = p_endpoint, token = p_token
    RETURNING state <> 'up'
$$;

CREATE FUNCTION agent_stop(p_agent uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE agents SET state = 'stopped', beat_at = clock_timestamp() WHERE id = p_agent
$$;

CREATE FUNCTION work_claim(p_agent uuid, p_unit uuid) RETURNS TABLE (
    item_id uuid, fence bigint, attempt int, node_id uuid, "rows" int, inputs bytea, model_id uuid, model_name text,
    model_version int, checksum text, uri text, signature jsonb
)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH free AS (
        SELECT i.id FROM work_items i
        JOIN units u ON u.id = i.unit_id
        JOIN leases l ON l.id = i.lease_id AND l.state = 'active'
        JOIN agents a ON a.id = p_agent AND a.queue = u.queue AND a.state = 'up'
        WHERE i.unit_id = p_unit AND i.state = 'queued'
        ORDER BY i.id FOR UPDATE OF i SKIP LOCKED
    ), claimed AS (
        UPDATE work_items i
        SET state = 'running', attempt = i.attempt + 1, fence = i.fence + 1, agent_id = p_agent,
            claimed_at = clock_timestamp(), claimed_until = clock_timestamp() + interval '3 s'
        FROM free WHERE i.id = free.id
        RETURNING i.id, i.fence, i.attempt, i.lease_id, i.rows, i.inputs, i.order_id
    )
    SELECT c.id, c.fence, c.attempt, l.node_id, c.rows, c.inputs, m.id, m.name, m.version, m.checksum, m.uri,
           m.signature
    FROM claimed c
    JOIN leases l ON l.id = c.lease_id
    JOIN orders o ON o.id = c.order_id
    JOIN models m ON m.id = o.model_id
    ORDER BY c.id
$$;

CREATE FUNCTION work_beat(p_agent uuid, p_items uuid[], p_fences bigint[]) RETURNS SETOF uuid
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH mine AS (
        SELECT i.id FROM work_items i
        JOIN unnest(p_items, p_fences) AS v (id, fence) ON i.id = v.id AND i.fence = v.fence
        WHERE i.state = 'running' AND i.agent_id = p_agent
        ORDER BY i.id FOR UPDATE OF i
    )
    UPDATE work_items i SET claimed_until = clock_timestamp() + interval '3 s'
    FROM mine WHERE i.id = mine.id
    RETURNING i.id
$$;

CREATE FUNCTION work_commit(
    p_agent uuid, p_items uuid[], p_fences bigint[], p_busy_us bigint[], p_outputs bytea[]
) RETURNS SETOF uuid
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH mine AS (
        SELECT i.id, v.busy_us, v.outputs FROM work_items i
        JOIN unnest(p_items, p_fences, p_busy_us, p_outputs) AS v (id, fence, busy_us, outputs)
          ON i.id = v.id AND i.fence = v.fence
        WHERE i.state = 'running' AND i.agent_id = p_agent AND v.busy_us >= 0
          AND octet_length(v.outputs) <= 1048576
        ORDER BY i.id FOR UPDATE OF i
    )
    UPDATE work_items i
    SET state = 'committed', committed_at = clock_timestamp(), outputs = mine.outputs, reported_us = mine.busy_us,
        -- what is reported, what we saw pass, and twice the profile: whichever is least
        billed_us = least(mine.busy_us, i.us_max,
                          (extract(epoch FROM clock_timestamp() - i.claimed_at) * 1000000)::bigint)
    FROM mine WHERE i.id = mine.id
    RETURNING i.id
$$;

CREATE FUNCTION work_fail(p_agent uuid, p_items uuid[], p_fences bigint[], p_errors text[]) RETURNS SETOF uuid
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
        RETURNING i.id, i.unit_id
    ), resent AS (
        UPDATE units SET resend_at = clock_timestamp() WHERE id IN (SELECT unit_id FROM returned)
    )
    SELECT id FROM returned
$$;

CREATE FUNCTION node_models() RETURNS TABLE (
    model_id uuid, model_name text, model_version int, checksum text, uri text, signature jsonb
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id, name, version, checksum, uri, signature FROM models ORDER BY name, version
$$;

-- Roles belong to the whole server, so another database may have made it already.
DO $$
BEGIN
    CREATE ROLE swarmex_node NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;

REVOKE ALL ON FUNCTION
    agent_beat, agent_stop, work_claim, work_beat, work_commit, work_fail, node_models FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO swarmex_node;
GRANT EXECUTE ON FUNCTION
    agent_beat, agent_stop, work_claim, work_beat, work_commit, work_fail, node_models TO swarmex_node;
