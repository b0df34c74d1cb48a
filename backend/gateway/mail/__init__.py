"""Real-time requests to nodes that cannot be dialled: they wait in Redis until the node polls, at most for seconds."""
