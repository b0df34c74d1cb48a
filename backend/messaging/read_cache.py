"""Answers about named things, shared by all API processes over Redis, and never older than the last update.

One Redis hash per name holds the answers, a `floor` and a random `epoch`; whatever makes Redis forget one of them
(expiry, eviction, FLUSHALL, a restart) makes it forget all of them at once.

Why no answer is stale once an update has been acknowledged. An update counts the name's `revision` up, in its
transaction. Before it commits, and again after, it calls `outdate`: the hash is emptied and `floor` raised to the new
revision. A reader who finds nothing remembers the epoch (made if there is none), reads the database, in one statement
both the facts and the revision that they are of, and may `fill` only if the epoch is still the same and the revision
is not below the floor. So take a reader whose facts are older than the update. Either it looked before the first
`outdate`: then its epoch is gone. Or it looked after: then the floor is above its revision. If Redis forgot the floor
since, it forgot the epoch too; and what was filled between such a loss and the commit goes with the second `outdate`,
which comes before the update is acknowledged. An update that was rolled back leaves a floor that no reader reaches:
they go to the database until the hash expires or the next update comes.

What is left: an update that cannot reach Redis goes on (Redis may be lost at any time without loss), and readers who
still reach it see the old answer for KEPT_S at most.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import structlog
from redis.exceptions import NoScriptError, RedisError

from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.redis_client import connect

KEPT_S = 30
BODY_BYTES_MAX = 1 << 16  # a larger answer is read from the database each time
BREAKER_POLICY = BreakerPolicy(fail_max=3, recovery_s=5.0)

_LOOK = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found then return {found, ''} end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[2]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
  if redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
end
return {false, epoch}
"""
_FILL = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2] then return 0 end
local floor = redis.call('HGET', KEYS[1], 'floor')
if floor and tonumber(floor) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
return 1
"""
_OUTDATE = """
for index, key in ipairs(KEYS) do
  local floor = redis.call('HGET', key, 'floor')
  if not floor or tonumber(floor) < tonumber(ARGV[index + 1]) then floor = ARGV[index + 1] end
  redis.call('DEL', key)
  redis.call('HSET', key, 'floor', floor)
  redis.call('EXPIRE', key, ARGV[1])
end
return 0
"""
_SHA1 = {
    script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (_LOOK, _FILL, _OUTDATE)
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found: a body, or the epoch under which the answer may be filled in (none: Redis is away)."""

    body: bytes | None
    epoch: bytes | None = None


class ReadCache:
    """The cache of one kind of things; a Redis that is away is as good as an empty one. Safe for several threads."""

    def __init__(self, redis_url: str, namespace: str, kind: str, breaker: Breaker | None = None) -> None:
        self._redis = connect(redis_url)
        self._prefix = f"{namespace}:{kind}:"
        self._breaker = breaker or Breaker(f"cache:{kind}", BREAKER_POLICY)

    def look(self, name: str, which: str) -> Looked:
        """The answer about a name that is kept as `which`, in one round trip."""
        try:
            body, epoch = self._breaker.call(self._run, _LOOK, [name], [f"={which}", token_hex(8), KEPT_S])
        except (RedisError, OSError, BreakerOpen):
            return Looked(None)
        return Looked(body, epoch or None)

    def fill(self, name: str, which: str, looked: Looked, revision: int, body: bytes) -> None:
        """Keep an answer of that revision, unless an update came since it was looked for; in one round trip."""
        if looked.epoch is None or len(body) > BODY_BYTES_MAX:
            return
        try:
            self._breaker.call(self._run, _FILL, [name], [f"={which}", looked.epoch, revision, body])
        except (RedisError, OSError, BreakerOpen):
            return

    def outdate(self, revisions: Mapping[str, int]) -> None:
        """Show nothing about these names that is older than these revisions from now on; in one round trip.

        Tried also while the breaker is open: others may reach a Redis that this process did not.
        """
        try:
            self._run(_OUTDATE, list(revisions), [KEPT_S, *revisions.values()])
        except (RedisError, OSError) as error:
            log.warning("cache.not_outdated", names=len(revisions), kept_s=KEPT_S, error=repr(error))

    def close(self) -> None:
        """Drop the connections."""
        self._redis.close()

    def _run(self, script: str, names: list[str], arguments: list[Any]) -> Any:
        keys = [self._prefix + name for name in names]
        try:
            return self._redis.evalsha(_SHA1[script], len(keys), *keys, *arguments)
        except NoScriptError:  # a server that has just been started
            return self._redis.eval(script, len(keys), *keys, *arguments)
