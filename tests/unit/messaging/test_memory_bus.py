"""What is the twin's own: it throws out who does not read, and counts knocks while it is away."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from backend.domain.events import Event, Topic
from backend.messaging.memory_bus import BACKLOG_BYTES_MAX, MemoryBus, MemoryFeed, MemoryServer

PLACED = Event(Topic.ORDERS_PLACED)


class CountingServer(MemoryServer):
    """Knows how often somebody tried to connect."""

    knocks = 0

    def join(self, feed: MemoryFeed, channels: Sequence[str]) -> None:
        self.knocks += 1
        super().join(feed, channels)


def test_a_listener_that_does_not_read_is_thrown_out_and_comes_back() -> None:
    server = MemoryServer()
    asked: list[datetime] = []
    bus = MemoryBus(server, "swarm")
    subscription = bus.subscribe([Topic.ORDERS_PLACED], on_resync=asked.append)
    subscription.wait(1.0)
    frame = b"x" * 16_000
    handed = [server.publish("swarm.orders.placed", frame) for _ in range(BACKLOG_BYTES_MAX // len(frame) + 2)]
    assert handed[0] == 1
    assert handed[-1] == 0
    while len(asked) < 2:
        subscription.wait(1.0)
    bus.publish([PLACED])
    assert subscription.wait(1.0) == (PLACED,)
    subscription.close()


def test_a_listener_knocks_ever_more_rarely_while_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr("backend.messaging.subscription.monotonic", lambda: now_s)
    server = CountingServer()
    subscription = MemoryBus(server).subscribe([Topic.ORDERS_PLACED])
    server.stop()
    for _ in range(100):
        now_s += 0.01
        assert subscription.wait(0.0) == ()
    assert 2 <= server.knocks <= 6, "at 0.1, 0.2, 0.4, 0.8 seconds, or up to half of that sooner"
    subscription.close()


def test_two_buses_without_a_server_in_common_do_not_hear_each_other() -> None:
    here, there = MemoryBus(), MemoryBus()
    subscription = there.subscribe([Topic.ORDERS_PLACED])
    subscription.wait(0.0)
    here.publish([PLACED])
    assert subscription.wait(0.0) == ()
    subscription.close()
