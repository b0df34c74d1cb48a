"""Hints reach the event loop; after a gap, everything may have changed."""

import asyncio
from collections.abc import Sequence

from backend.domain.events import Event, Topic
from backend.gateway.hints import Hints
from backend.messaging.memory_bus import MemoryBus, MemoryServer
from tests.waiting import PATIENCE_S

TOPICS = (Topic.KEYS_CHANGED, Topic.LEASES_ENDED)


def test_events_of_its_topics_are_heard_and_after_a_gap_one_of_every_topic() -> None:
    async def listening() -> list[list[Event]]:
        server = MemoryServer()
        bus = MemoryBus(server)
        heard: asyncio.Queue[Sequence[Event]] = asyncio.Queue()
        hints = Hints(bus, TOPICS, heard.put_nowait)

        async def next_heard() -> list[Event]:
            return list(await asyncio.wait_for(heard.get(), PATIENCE_S))

        connected = await next_heard()
        bus.publish([Event(Topic.KEYS_CHANGED), Event(Topic.FUNDS_ALERT)])
        told = await next_heard()
        server.stop()
        server.start()
        reconnected = await next_heard()
        await hints.close()
        return [connected, told, reconnected]

    connected, told, reconnected = asyncio.run(listening())
    assert {event.topic for event in connected} == set(TOPICS)
    assert told == [Event(Topic.KEYS_CHANGED)]
    assert {event.topic for event in reconnected} == set(TOPICS)
