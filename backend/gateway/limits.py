"""Named limits of the gateway."""

THREADS_MAX = 6  # look-ups and session changes that run at once, apart from the API's own threads
LOOKUPS_WAITING_MAX = 256
LOOKUP_TIMEOUT_S = 5.0
KEYS_MAX = 10_000
MODELS_MAX = 1_000
REFUSALS_MAX = 1_000  # unknown keys and models that are remembered as unknown, per cache

POLL_S = 0.5  # a revoked key opens nothing after this
FAIL_CLOSED_S = 5.0  # without an answer from the coordinator for so long, nothing is served

SESSIONS_MAX = 1_000
SESSION_WAIT_S = 5.0  # for the market to grant a lease
SESSION_POLL_S = 0.02
SESSION_TICK_S = 0.5  # renewals, idle ends and revocations are looked at so often
SESSION_IN_FLIGHT_MAX = 64
IN_FLIGHT_MAX = 1_024

REQUEST_TIMEOUT_S = 30.0  # of one inference, from the first attempt to the last byte
SLOW_REQUEST_S = 10.0  # one that took so long counts against its node, whatever the answer
CONNECT_TIMEOUT_S = 2.0
CONNECTIONS_MAX = 512
CONNECTIONS_PER_NODE_MAX = 64
KEEP_ALIVE_S = 3.0  # below the node servers' own 5 s, so that they never close a connection that we are about to use
ANSWER_BYTES_MAX = 16 << 20
NODE_ERROR_CHARS_MAX = 300
CLOSE_TIMEOUT_S = 2.0  # for ending the sessions when the process ends; settlement ends what is left
PROBE_TIMEOUT_S = 2.0  # of a readiness question to the database or to Redis
