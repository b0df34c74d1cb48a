DROP FUNCTION node_peers;
