"""Named limits of the mailboxes."""

WAITING_MAX = 96  # requests of one node that wait to be fetched; some of the places are kept for each tier
WAITING_BYTES_MAX = 32 << 20  # of their bodies, unless a single one has more
FETCH_S = 3.0  # a request that was not fetched by then is withdrawn: it has not run, and never will
WITHDRAW_S = 2.0  # after that it lapses, should its gateway be gone
REPLY_KEPT_S = 30.0  # answers to a gateway that is gone
SEEN_S = 5.0  # a node that came so lately is there, and has only no place

WATCH_EVERY_S = 1.0  # that requests which are under way are looked after
SILENT_LOOKS = 2  # in a row at which whoever has a request is not known to be alive: then it is given up

REDIS_TIMEOUT_S = 1.0
CONNECTIONS_MAX = 16
READ_S = 5.0  # that a gateway waits for answers at a stretch
RETRY_S = 0.5  # after Redis was not there

POLLS_MAX = 2_000  # that wait at once in one process
POLLS_PER_NODE_MAX = 2
LOOK_EVERY_S = 5.0  # of a poll that nobody woke: a wake-up may be lost with its connection
