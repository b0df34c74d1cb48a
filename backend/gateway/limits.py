"""Named limits of the gateway."""

THREADS_MAX = 6  # look-ups and session changes that run at once, apart from the API's own threads
LOOKUPS_WAITING_MAX = 256
LOOKUP_TIMEOUT_S = 5.0
KEYS_MAX = 10_000
MODELS_MAX = 1_000
STATISTICS_MAX = 10_000  # models times accounts whose inferences a process counts
REFUSALS_MAX = 1_000  # unknown keys and models that are remembered as unknown, per cache

POLL_S = 0.5  # a revoked key opens nothing after this
FAIL_CLOSED_S = 5.0  # without an answer from the coordinator for so long, nothing is served

SESSIONS_MAX = 1_000
SESSION_WAIT_S = 5.0  # for the market to grant a lease
SESSION_POLL_S = 0.02
LEFTOVERS_MAX = 100  # orders that are being given up: fewer than look-ups may wait
LEFTOVER_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)  # before each try to give one up
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
ANSWER_HEAD_BYTES_MAX = 1 << 16
NODE_ERROR_CHARS_MAX = 300
GRPC_REQUEST_BYTES_MAX = 8 << 20  # as of a request over HTTP
GRPC_METADATA_BYTES_MAX = 16 << 10  # of one call, names included
GRPC_CALLS_MAX = 256  # at once, before any is looked at: together 2 GiB at most
GRPC_CALLS_PER_CONNECTION_MAX = 128  # at once; the client's further ones wait there
GRPC_CONNECTIONS_MAX = 1_024
GRPC_BODY_TIMEOUT_S = 30.0  # from a call's beginning to its request's last byte, as over HTTP
GRPC_OPEN_BODY_TIMEOUT_S = 2.0  # of a call that anybody may make: its message is empty, or nearly
GRPC_CALL_TIMEOUT_S = 60.0  # from there to the answer, whatever the caller's own deadline
GRPC_IDLE_S = 600.0  # a connection without calls is closed
GRPC_CONNECTION_S = 3_600.0  # the oldest that a connection gets: its client opens another, perhaps elsewhere
GRPC_CONNECTION_GRACE_S = 100.0  # for calls on an old connection: above the time of any call
GRPC_PING_EVERY_S = 60.0  # whether the other side is there still
GRPC_PING_TIMEOUT_S = 20.0
GRPC_PINGED_EVERY_S = 5.0  # clients that ask oftener whether we are there are sent away
GRPC_DRAIN_S = 4.0  # after SIGTERM, calls that still run are cancelled
CLOSE_TIMEOUT_S = 2.0  # for tasks, and for sessions, as the process ends; settlement ends what is left of those
PROBE_TIMEOUT_S = 2.0  # of a readiness question to the database or to Redis

LINES_MAX = 2_000  # with sessions or, lately, without
LINE_KEPT_S = 120.0  # longer than a request can wait: a line without sessions remembers refusals for so long
LEASES_PER_LINE_MAX = 8  # on as many nodes; a tier's own limit of slots may be lower
GROW_ABOVE_IN_FLIGHT = 8  # requests per lease that can serve; more for GROW_AFTER_S and a line grows
GROW_AFTER_S = 1.0
GROW_BACKOFF_S = 5.0  # after a first refusal; twice as long after each further one
GROW_BACKOFF_MAX_S = 60.0
REST_IN_FLIGHT = 4  # requests per lease that are enough: what is not needed for so many rests until it is idle
DEMAND_DECAY_S = 5.0
LOST_NODE_S = 30.0  # a line does not grow onto a node that it could not reach so lately

EWMA_DECAY_S = 5.0  # of latencies
FAILURE_S = 0.1  # what a failure counts as at least, in the latency of a node
UNKNOWN_LOAD_S = 3_600.0  # one request on a node that has answered none yet: others are asked before

OUTLIER_INTERVAL_S = 5.0
OUTLIER_FAILURES = 5  # in a row: ejected at once, as in Envoy
OUTLIER_VOLUME_MIN = 20  # requests in an interval, to be judged by it and to judge others by
OUTLIER_RATE_GAP = 0.2  # so far below the others' median share of successes
OUTLIER_LATENCY_FACTOR = 4.0  # times the others' median
OUTLIER_LATENCY_MIN_S = 0.05  # nobody is left out for being this quick
EJECTION_S = 10.0  # the first time; so much longer each further time
EJECTION_MAX_S = 300.0
EJECTED_SHARE_MAX = 0.5  # of a line at once

RETRIES_MAX = 2  # other nodes that a request is tried on, when it is known not to have run
ANOTHER_WAIT_S = 2.0  # for a lease on another node, which goes on being opened after that
RETRY_SHARE = 0.2  # of requests
RETRIES_PER_S_MIN = 1.0  # whatever the requests
RETRY_BUDGET_S = 10  # whole seconds that a budget looks back

ALLOWANCES_MAX = 10_000  # of spenders and models, open or ending
DRAWS_MAX = 4  # tries of one request to be paid for, while others take what was raised for it
REFUSED_FOR_S = 1.0  # who had no money is told so without asking again
