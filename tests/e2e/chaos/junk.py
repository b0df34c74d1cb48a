"""Messages that nobody should have sent."""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID

import orjson
import redis

from backend.domain.ids import UnitId
from backend.domain.work import Dispatch
from backend.messaging.dispatcher import Dispatcher
from backend.messaging.queues import VERSION_HEADER, Priority, pool_queue

EACH = 600
OVERSIZED = 20
OVERSIZED_BYTES = 1 << 20
BATCH = 500
STEP = "\x06\x16"  # between the name of a queue and a priority, in the key of its list
REASONS = {"corrupt", "oversized", "unknown_task", "unknown_version", "unknown_unit"}


def fill(redis_url: str, queue: str, dice: Random) -> int:
    """Put thousands of them into a queue, for each of REASONS; returns how many."""
    genuine = _genuine(redis_url, dice)
    messages = list(_messages(genuine, dice))
    dice.shuffle(messages)
    with redis.Redis.from_url(redis_url) as client:
        for start in range(0, len(messages), BATCH):
            key = f"{queue}{STEP}{int(dice.choice([Priority.HIGH, Priority.NORMAL]))}"
            client.lpush(key, *messages[start : start + BATCH])
    return len(messages)


def _messages(genuine: dict[str, Any], dice: Random) -> Iterator[bytes]:
    for _ in range(EACH):
        yield dice.randbytes(dice.randrange(1, 400))
        cut = orjson.dumps(genuine)
        yield cut[: dice.randrange(len(cut))]
        yield _with_headers(genuine, {VERSION_HEADER: dice.randrange(2, 99)}, dice)
        yield _with_headers(genuine, {"task": f"somebody.elses.{dice.randrange(9)}"}, dice)
        yield _for_nobody(genuine, dice)
    for _ in range(OVERSIZED):
        yield _with_headers(genuine, {"padding": "x" * OVERSIZED_BYTES}, dice)


def _with_headers(genuine: dict[str, Any], changes: dict[str, Any], dice: Random) -> bytes:
    """A message like ours, but for some headers."""
    task = str(UUID(int=dice.getrandbits(128)))
    return orjson.dumps(genuine | {"headers": genuine["headers"] | {"id": task} | changes})


def _for_nobody(genuine: dict[str, Any], dice: Random) -> bytes:
    """A message of a unit that never was."""
    arguments, *rest = orjson.loads(b64decode(genuine["body"]))
    arguments = [str(UUID(int=dice.getrandbits(128)))]
    return orjson.dumps(genuine | {"body": b64encode(orjson.dumps([arguments, *rest])).decode()})


def _genuine(redis_url: str, dice: Random) -> dict[str, Any]:
    """A real message, of a unit that never was."""
    queue = pool_queue("sample")
    dispatcher = Dispatcher(redis_url)
    dispatcher.send([Dispatch(UnitId(UUID(int=dice.getrandbits(128))), queue, Priority.NORMAL)])
    dispatcher.close()
    with redis.Redis.from_url(redis_url) as client:
        message = client.lpop(f"{queue}{STEP}{int(Priority.NORMAL)}")
    assert isinstance(message, bytes)
    found: dict[str, Any] = orjson.loads(message)
    return found
