"""How every part that speaks to Redis directly connects: with time-outs, and without hidden retries."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT_S = 1.0


def connect(redis_url: str) -> Redis:
    """A client that gives up after SOCKET_TIMEOUT_S; the library's default retries for seconds."""
    return Redis.from_url(
        redis_url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
