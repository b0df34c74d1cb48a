-- What waits to be judged, or was rejected, is work that nobody pays for.
UPDATE work_items SET state = 'cancelled', outputs = NULL WHERE state IN ('reported', 'rejected');
UPDATE orders SET reason = NULL WHERE reason = 'round_ended';
ALTER TABLE work_items DROP CONSTRAINT ck_work_items_only_judged_reported;
ALTER TABLE work_items DROP CONSTRAINT ck_work_items_committed_has_outputs,
    ADD CONSTRAINT ck_work_items_committed_has_outputs
    CHECK ((state IN ('committed', 'settled')) = (outputs IS NOT NULL));
ALTER TABLE work_items DROP CONSTRAINT ck_work_items_state, ADD CONSTRAINT ck_work_items_state
    CHECK (state IN ('waiting', 'queued', 'running', 'committed', 'settled', 'cancelled', 'dead'));

CREATE OR REPLACE FUNCTION work_commit(
    p_agent uuid, p_items uuid[], p_fences bigint[], p_busy_us bigint[], p_outputs bytea[]
) RETURNS SETOF uuid
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
    WITH mine AS (
        SELECT i.id, v.busy_us, v.outputs FROM work_items i
        JOIN unnest(p_items, p_fences, p_busy_us, p_outputs) AS v (id, fence, busy_us, outputs)
          ON i.id = v.id AND i.fence = v.fence
        WHERE i.state || '' = 'running' AND i.agent_id = p_agent AND v.busy_us >= 0
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
