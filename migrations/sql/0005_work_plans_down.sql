ALTER FUNCTION work_claim(uuid, uuid) RESET enable_seqscan;

CREATE OR REPLACE FUNCTION work_beat(p_agent uuid, p_items uuid[], p_fences bigint[]) RETURNS SETOF uuid
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

CREATE OR REPLACE FUNCTION work_commit(
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
