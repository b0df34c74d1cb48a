-- What a node could not even begin goes back without an attempt: its store, disk or memory is not the item's fault.
CREATE FUNCTION work_release(p_agent uuid, p_items uuid[], p_fences bigint[]) RETURNS SETOF uuid
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH mine AS (
        SELECT i.id FROM work_items i
        JOIN unnest(p_items, p_fences) AS v (id, fence) ON i.id = v.id AND i.fence = v.fence
        WHERE i.state = 'running' AND i.agent_id = p_agent
        ORDER BY i.id FOR UPDATE OF i
    ), returned AS (
        UPDATE work_items i SET state = 'queued', attempt = i.attempt - 1 FROM mine WHERE i.id = mine.id
        RETURNING i.id, i.unit_id
    ), resent AS (
        UPDATE units SET resend_at = clock_timestamp() WHERE id IN (SELECT unit_id FROM returned)
    )
    SELECT id FROM returned
$$;

REVOKE ALL ON FUNCTION work_release FROM PUBLIC;
GRANT EXECUTE ON FUNCTION work_release TO swarmex_node;
