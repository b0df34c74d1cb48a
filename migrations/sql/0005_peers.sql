-- Who of an agent's region is likely to have a model's file, and what opens it there (backend/domain/peers.py).
-- A token opens one file at one agent until that agent ends; it is of no use for inference. A node counts as having
-- a file for 10 minutes after a lease (backend/storage/nodes.py: MODEL_CACHED), an agent as alive for 3 s after a beat
-- (backend/domain/work.py: AGENT_LOST_S); 3 peers are told (PEERS_MAX), not the same ones to everybody. A test holds
-- these figures equal.

CREATE FUNCTION node_peers(p_agent uuid, p_model uuid) RETURNS TABLE (endpoint text, token text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.endpoint,
           encode(sha256(convert_to('swarmex model file ' || a.token || ' ' || m.checksum, 'UTF8')), 'hex')
    FROM models m
    JOIN agents me ON me.id = p_agent AND me.state IN ('up', 'draining')
    JOIN agents a ON a.id <> me.id AND a.state = 'up' AND a.beat_at > clock_timestamp() - interval '3 s'
        AND a.endpoint IS NOT NULL AND a.token IS NOT NULL
    WHERE m.id = p_model AND EXISTS (
        SELECT 1 FROM nodes n
        JOIN node_models nm ON nm.node_id = n.id AND nm.model_id = m.id
            AND nm.used_at > clock_timestamp() - interval '10 min'
        WHERE n.queue = a.queue AND NOT n.external AND n.region IN (SELECT mine.region FROM nodes mine WHERE mine.queue = me.queue)
    )
    ORDER BY md5(a.id::text || me.id::text)
    LIMIT 3
$$;

REVOKE ALL ON FUNCTION node_peers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION node_peers TO swarmex_node;
