"""Listeners of the bus benchmark, each in a process of its own: ours, and redis-py's as it comes."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from types import TracebackType
from typing import Self

import redis

from backend.domain.events import Audience, Topic
from backend.messaging.bus import Bus

TOPIC = Topic.ORDERS_PLACED
KIND = "pricing"
CHANNEL = "benchmark.plain"
WAIT_S = 0.5
START_TIMEOUT_S = 20.0
DELIVERY_TIMEOUT_S = 30.0

Receive = Callable[[], list[bytes | str]]
"""Waits up to WAIT_S; the payloads, or keys, that came."""


def ours(redis_url: str, namespace: str) -> Receive:
    """Typed events for one kind of agent."""
    subscription = Bus(redis_url, namespace).subscribe([TOPIC], Audience(kind=KIND))
    subscription.wait(0)
    assert subscription.connected
    return lambda: [event.key for event in subscription.wait(WAIT_S)]


def plain(redis_url: str, namespace: str) -> Receive:
    """Whatever bytes are published in a channel."""
    client = redis.Redis.from_url(redis_url, socket_timeout=5)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # typed in part
    pubsub.subscribe(f"{namespace}.{CHANNEL}")
    pubsub.get_message(timeout=START_TIMEOUT_S)

    def receive() -> list[bytes | str]:
        message = pubsub.get_message(timeout=WAIT_S)
        return [] if message is None else [message["data"]]

    return receive


class Listener:
    """A process that counts what it receives or, if `timed`, notes how long ago each was sent."""

    def __init__(self, how: Callable[[str, str], Receive], redis_url: str, namespace: str, timed: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._seen: Synchronized[int] = context.Value("q", 0)
        self._answers, theirs = context.Pipe()
        arguments = (how, redis_url, namespace, timed, self._seen, theirs)
        self._process = context.Process(target=_listen, args=arguments, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        assert self._answers.poll(START_TIMEOUT_S), "the listener did not come up"
        self._answers.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join(START_TIMEOUT_S)

    @property
    def seen(self) -> int:
        """How many it has received so far."""
        return self._seen.value

    def await_seen(self, count: int, poll_s: float) -> None:
        """Until it has received so many altogether; raises RuntimeError when they do not arrive."""
        deadline = time.monotonic() + DELIVERY_TIMEOUT_S
        while self.seen < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.seen} of {count} events were delivered")
            time.sleep(poll_s)

    def delays_us(self) -> list[float]:
        """How long each event took that came since this was asked last."""
        self._answers.send(None)
        assert self._answers.poll(START_TIMEOUT_S), "the listener does not answer"
        delays: list[float] = self._answers.recv()
        return delays


def _listen(
    how: Callable[[str, str], Receive],
    redis_url: str,
    namespace: str,
    timed: bool,
    seen: "Synchronized[int]",
    answers: "Connection[object, object]",
) -> None:
    receive = how(redis_url, namespace)
    answers.send("ready")
    counter = seen.get_obj() if hasattr(seen, "get_obj") else seen
    delays: list[float] = []
    while True:
        received = receive()
        if timed:
            now = time.monotonic_ns()
            delays += [(now - int(sent_ns)) / 1_000 for sent_ns in received]
            if answers.poll():
                answers.recv()
                answers.send(delays)
                delays = []
        counter.value += len(received)
