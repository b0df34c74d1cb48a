-- The role stays: it belongs to the whole server.
REVOKE USAGE ON SCHEMA public FROM swarmex_node;
DROP FUNCTION agent_beat, agent_stop, work_claim, work_beat, work_commit, work_fail, node_models;
