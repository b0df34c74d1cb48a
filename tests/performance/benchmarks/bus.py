"""Events of 256 bytes from one process to another over the bus, against redis-py's own publish and pubsub."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median

import redis

from backend.domain.events import Event
from backend.messaging.bus import Bus
from backend.messaging.codec import encode
from tests.performance.bench import Bench
from tests.performance.bus_listeners import CHANNEL, KIND, TOPIC, Listener, ours, plain
from tests.performance.rows import Row, Target

EVENT_BYTES = 256
BATCH = 100
EVENTS = 10_000  # a measurement
AHEAD_MAX = 2_000  # of the listener: neither may win by leaving a heap behind
SINGLES = 400  # a measurement of the delay
PAUSE_S = 0.001  # between them, so that none waits for the one before
POLL_S = 0.0005
KEY_CHARS = EVENT_BYTES - len(encode(Event(TOPIC, kind=KIND)))

Publish = Callable[[list[int]], None]
"""Publishes one event per number, which it carries."""


def run(bench: Bench) -> Iterator[Row]:
    """Publisher here, listener in another process; encoding, addressing and decoding are part of ours only.

    Events that follow each other to the same addressee share a message: that is what makes ours the faster one.
    `bus_delivery_apart` shows what is left when no two of them may.
    """
    with ExitStack() as stack:
        url = bench.servers.redis_url
        bus = Bus(url, bench.name)
        stack.callback(bus.close)
        client = stack.enter_context(redis.Redis.from_url(url, socket_timeout=5))

        def publish(numbers: list[int]) -> None:
            bus.publish([Event(TOPIC, f"{number:0{KEY_CHARS}}", kind=KIND) for number in numbers])
            assert bus.dropped == 0

        def publish_apart(numbers: list[int]) -> None:
            bus.publish([Event(TOPIC, f"{n:0{KEY_CHARS}}", kind=KIND if n % 2 else "") for n in numbers])
            assert bus.dropped == 0

        def publish_plain(numbers: list[int]) -> None:
            with client.pipeline(transaction=False) as pipeline:
                for number in numbers:
                    pipeline.publish(f"{bench.name}.{CHANNEL}", b"%0256d" % number)
                pipeline.execute()

        def publish_plain_single(numbers: list[int]) -> None:
            client.publish(f"{bench.name}.{CHANNEL}", b"%0256d" % numbers[0])

        with Listener(ours, url, bench.name, False) as here, Listener(plain, url, bench.name, False) as there:
            rates = bench.pairs(lambda: _events_per_s(publish, here), lambda: _events_per_s(publish_plain, there))
            apart = bench.pairs(lambda: _events_per_s(publish_apart, here), lambda: _events_per_s(publish_plain, there))
        with Listener(ours, url, bench.name, True) as here, Listener(plain, url, bench.name, True) as there:
            delays = bench.pairs(
                lambda: _one_way_us_p50(publish, here), lambda: _one_way_us_p50(publish_plain_single, there)
            )
    for name, pairs in (("bus_delivery", rates), ("bus_delivery_apart", apart)):
        yield Row(
            name,
            pairs.value,
            "events/s",
            f"redis-py's pipelines of {BATCH} and its pubsub",
            pairs.reference_value,
            pairs.ratio,
            Target("ratio", "≥", 0.6),
        )
    yield Row(
        "bus_one_way_p50",
        delays.value,
        "µs",
        "redis-py's publish and its pubsub",
        delays.reference_value,
        delays.ratio,
        Target("ratio", "≤", 1.5),
    )


def _events_per_s(publish: Publish, listener: Listener) -> float:
    """From the first publish to the last delivery."""
    before = listener.seen
    started = time.perf_counter()
    for first in range(0, EVENTS, BATCH):
        publish(list(range(first, first + BATCH)))
        if before + first + BATCH - listener.seen > AHEAD_MAX:
            listener.await_seen(before + first + BATCH - AHEAD_MAX // 2, POLL_S)
    listener.await_seen(before + EVENTS, POLL_S)
    return EVENTS / (time.perf_counter() - started)


def _one_way_us_p50(publish: Publish, listener: Listener) -> float:
    """Median from just before the publish to just after the delivery, one event at a time."""
    before = listener.seen
    for number in range(SINGLES):
        publish([time.monotonic_ns()])
        time.sleep(PAUSE_S)
        listener.await_seen(before + number + 1, POLL_S)
    return median(listener.delays_us())
