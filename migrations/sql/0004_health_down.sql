DROP FUNCTION agent_beat(uuid, text, text, int, text, text, text, bigint, boolean, bigint);
ALTER TABLE fleet DROP CONSTRAINT ck_fleet_within_bounds;
UPDATE agents SET state = 'stopped' WHERE state = 'lost';
ALTER TABLE agents DROP CONSTRAINT ck_agents_state, ADD CONSTRAINT ck_agents_state
    CHECK (state IN ('up', 'draining', 'stopped'));

-- work_claim as it was: for agents that are up.
CREATE OR REPLACE FUNCTION work_claim(p_agent uuid, p_unit uuid) RETURNS TABLE (
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
