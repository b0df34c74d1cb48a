-- Agents say what they got done; the manager says who is lost. A fleet's replicas lie within their bounds.
ALTER TABLE agents DROP CONSTRAINT ck_agents_state, ADD CONSTRAINT ck_agents_state
    CHECK (state IN ('up', 'draining', 'stopped', 'lost'));
ALTER TABLE fleet ADD CONSTRAINT ck_fleet_within_bounds
    CHECK (replicas_min <= replicas AND replicas <= replicas_max);

-- The older form stays for agents that were started before the migration.
CREATE FUNCTION agent_beat(
    p_agent uuid, p_name text, p_host text, p_pid int, p_queue text, p_endpoint text, p_token text,
    p_done bigint, p_waiting boolean, p_tick_age_ms bigint
) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO agents (id, kind, name, host, pid, queue, endpoint, token, state, started_at, beat_at,
                        work_done, work_waiting, tick_age_ms)
    VALUES (p_agent, 'inference', p_name, p_host, p_pid, p_queue, p_endpoint, p_token, 'up',
            clock_timestamp(), clock_timestamp(), p_done, p_waiting, p_tick_age_ms)
    ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp(), endpoint = p_endpoint, token = p_token,
        work_done = p_done, work_waiting = p_waiting, tick_age_ms = p_tick_age_ms
    RETURNING state <> 'up'
$$;

-- As before, but for one that drains: a message that reaches it before it hears of that is better run than spent.
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

REVOKE ALL ON FUNCTION agent_beat(uuid, text, text, int, text, text, text, bigint, boolean, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION agent_beat(uuid, text, text, int, text, text, text, bigint, boolean, bigint)
    TO swarmex_node;
