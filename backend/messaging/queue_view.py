"""What Redis holds of the queues: counted, looked at and thrown away, never taken."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import orjson
from redis import Redis
from redis.exceptions import RedisError

from backend.domain.errors import Unavailable
from backend.messaging.judging import judge, unit_in
from backend.messaging.queues import Priority, is_queue
from backend.messaging.redis_client import connect

SEPARATOR = "\x06\x16"  # kombu's, between a queue and its priority; the most urgent has none
KEYS_MAX = 100_000  # looked at in search of queues
KEYS_A_TURN = 1_000
UNACKED_KEY = "unacked"
UNACKED_MAX = 1_000  # looked at


@dataclass(frozen=True, slots=True)
class Held:
    """Messages of a queue: those that wait, by urgency, and those that consumers have not acknowledged."""

    waiting: Mapping[Priority, int]
    unacked: int

    @property
    def total(self) -> int:
        """Those that wait."""
        return sum(self.waiting.values())


@dataclass(frozen=True, slots=True)
class Peeked:
    """A message that waits; `wrong` says why it will be refused, if it will."""

    priority: Priority
    unit_id: UUID | None
    size_bytes: int
    wrong: str | None


class QueueView:
    """Every method raises Unavailable(`redis_unreachable`) when Redis does not answer."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)

    def held(self) -> dict[str, Held]:
        """Every queue that Redis holds messages of, by name."""
        with self._answering() as redis:
            names = sorted(_queues(redis))
            with redis.pipeline(transaction=False) as batch:
                for name in names:
                    for priority in Priority:
                        batch.llen(_key(name, priority))
                lengths = iter(batch.execute())
            unacked = _unacked(redis)
        waiting = {name: {priority: int(next(lengths)) for priority in Priority} for name in names}
        none = dict.fromkeys(Priority, 0)
        return {
            name: Held(waiting.get(name, none), unacked.get(name, 0))
            for name in sorted(waiting.keys() | unacked.keys())
        }

    def peek(self, queue: str, limit: int) -> list[Peeked]:
        """The next messages of a queue in the order in which they will be taken; they stay where they are."""
        with self._answering() as redis:
            found: list[Peeked] = []
            for priority in Priority:
                if len(found) < limit:
                    # New ones come in at the left and are taken at the right.
                    oldest_last = cast(list[bytes], redis.lrange(_key(queue, priority), len(found) - limit, -1))
                    found += [_peeked(priority, raw) for raw in reversed(oldest_last)]
        return found

    def purge(self, queue: str) -> int:
        """Drop all messages of a queue that wait, at once; returns how many."""
        with self._answering() as redis, redis.pipeline(transaction=True) as batch:
            for priority in Priority:
                batch.llen(_key(queue, priority))
                batch.delete(_key(queue, priority))
            return sum(int(length) for length in batch.execute()[::2])

    def close(self) -> None:
        """Drop the connections."""
        self._redis.close()

    @contextmanager
    def _answering(self) -> Iterator[Redis]:
        try:
            yield self._redis
        except (RedisError, OSError) as error:
            raise Unavailable("Redis does not answer", code="redis_unreachable", accepted="try again") from error


def _key(queue: str, priority: Priority) -> str:
    return f"{queue}{SEPARATOR}{int(priority)}" if priority else queue


def _queues(redis: Redis) -> set[str]:
    names = set()
    keys = redis.scan_iter(count=KEYS_A_TURN, _type="LIST")
    for _, key in zip(range(KEYS_MAX), keys, strict=False):
        name = key.decode(errors="replace").partition(SEPARATOR)[0]
        if is_queue(name):
            names.add(name)
    return names


def _unacked(redis: Redis) -> dict[str, int]:
    """Messages in consumers' hands, by queue; each is kept as [message, exchange, queue]."""
    counts: dict[str, int] = {}
    kept: Iterator[tuple[bytes, Any]] = redis.hscan_iter(UNACKED_KEY, count=UNACKED_MAX)
    for _, (_, value) in zip(range(UNACKED_MAX), kept, strict=False):
        try:
            _, _, queue = orjson.loads(value)
        except ValueError:
            continue
        counts[str(queue)] = counts.get(str(queue), 0) + 1
    return counts


def _peeked(priority: Priority, raw: bytes) -> Peeked:
    dead = judge(raw)
    return Peeked(priority, unit_in(raw), len(raw), f"{dead.reason}: {dead.error}" if dead else None)
