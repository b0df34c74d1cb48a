"""Named limits of the API."""

BODY_BYTES_MAX = 8 << 20
THREADS_MAX = 12  # synchronous routes at once; with the gateway's 6 and the beat, fewer than database connections
BODY_TIMEOUT_S = 30.0  # from the first byte asked for to the last one of a body
UPLOAD_TIMEOUT_S = 600.0  # the same of a file that is uploaded whole
ANSWER_TIMEOUT_S = 60.0  # from a body's last byte to an answer's first: above a look-up, a lease and a node's time
COMPLETE_TIMEOUT_S = 600.0  # the same of an upload that is completed: its file is read through, run, and stored
CONNECTIONS_MAX = 4_096
DRAIN_S = 4.0  # after SIGTERM, requests that still run are cancelled; the manager waits 8 s before it kills
