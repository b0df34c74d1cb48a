"""Named limits of the API."""

BODY_BYTES_MAX = 8 << 20
THREADS_MAX = 12  # synchronous routes at once; with the gateway's 6 and the beat, fewer than database connections
BODY_TIMEOUT_S = 30.0  # from the first byte asked for to the last one of a body
CONNECTIONS_MAX = 4_096
DRAIN_S = 4.0  # after SIGTERM, requests that still run are cancelled; the manager waits 8 s before it kills
