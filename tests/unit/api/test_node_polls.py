"""Polls that wait: woken by a hint or by the next look, bounded, and none of them lost when the database is away."""

import asyncio
import time
from collections.abc import Collection
from uuid import UUID

import pytest

from backend.api import node_polls
from backend.api.node_polls import POLLS_PER_NODE_MAX, NodePolls
from backend.domain.events import Event, Topic
from backend.domain.ids import NodeId
from backend.gateway.errors import Busy
from backend.gateway.threads import Threads
from backend.messaging.memory_bus import MemoryBus
from tests.waiting import FOREVER_S, PATIENCE_S

NODE = NodeId(UUID(int=1))


class Database:
    """What waits in which queue, and how often it was asked."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.away = 0
        self.asked: list[set[str]] = []

    def look(self, queues: Collection[str]) -> set[str]:
        self.asked.append(set(queues))
        if self.away:
            self.away -= 1
            raise OSError("away")
        return self.waiting & set(queues)


class Side:
    """Polls on a database and a bus in memory."""

    def __init__(self) -> None:
        self.database = Database()
        self.bus = MemoryBus()
        self.threads = Threads()
        self.polls = NodePolls(self.database.look, self.threads, self.bus)

    async def __aenter__(self) -> "Side":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.polls.close()
        self.threads.close()

    def poll(self, queue: str = "remote.a", node: NodeId = NODE, timeout_s: float = FOREVER_S) -> "asyncio.Task[None]":
        return asyncio.create_task(self.polls.wait(node, queue, timeout_s))

    async def looked(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.database.asked) < times:  # noqa: ASYNC110  # it grows in another thread
                await asyncio.sleep(0.01)


async def ended_soon(poll: "asyncio.Task[None]") -> None:
    await asyncio.wait_for(poll, PATIENCE_S)


def test_what_waits_already_is_told_at_once() -> None:
    async def play() -> None:
        async with Side() as side:
            side.database.waiting = {"remote.a"}
            await ended_soon(side.poll())

    asyncio.run(play())


def test_work_that_comes_without_a_hint_is_found_by_the_next_look() -> None:
    async def play() -> None:
        async with Side() as side:
            poll = side.poll()
            await side.looked(1)
            side.database.waiting = {"remote.a"}
            await ended_soon(poll)

    asyncio.run(play())


def test_a_hint_wakes_sooner_than_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_polls, "LOOK_EVERY_S", FOREVER_S)

    async def play() -> None:
        async with Side() as side:
            poll = side.poll()
            await side.looked(1)
            side.database.waiting = {"remote.a"}
            deadline = time.monotonic() + PATIENCE_S
            while not poll.done():  # the listener may not be connected yet, and hints may be lost
                assert time.monotonic() < deadline
                side.bus.publish([Event(Topic.UNITS_READY)])
                await asyncio.sleep(0.05)

    asyncio.run(play())


def test_all_who_wait_share_one_look() -> None:
    async def play() -> None:
        async with Side() as side:
            polls = [side.poll(f"remote.{n}", NodeId(UUID(int=n))) for n in range(200)]
            await side.looked(2)
            side.database.waiting = {f"remote.{n}" for n in range(200)}
            for poll in polls:
                await ended_soon(poll)
            assert max(len(queues) for queues in side.database.asked) == 200
            assert len(side.database.asked) < 200

    asyncio.run(play())


def test_only_whose_queue_has_work_is_woken() -> None:
    async def play() -> None:
        async with Side() as side:
            busy, idle = side.poll("remote.a"), side.poll("remote.b", NodeId(UUID(int=2)))
            side.database.waiting = {"remote.a"}
            await ended_soon(busy)
            assert not idle.done()

    asyncio.run(play())


def test_a_database_that_is_away_is_waited_out() -> None:
    async def play() -> None:
        async with Side() as side:
            side.database.away = 2
            side.database.waiting = {"remote.a"}
            await ended_soon(side.poll())
            assert len(side.database.asked) >= 3

    asyncio.run(play())


def test_a_node_waits_with_so_many_polls_and_gets_its_places_back() -> None:
    async def play() -> None:
        async with Side() as side:
            polls = [side.poll() for _ in range(POLLS_PER_NODE_MAX)]
            await side.looked(1)
            with pytest.raises(Busy, match="too many polls"):
                await side.poll()
            assert not side.poll("remote.b", NodeId(UUID(int=2))).done()
            polls[0].cancel()
            await asyncio.gather(polls[0], return_exceptions=True)
            late = side.poll(timeout_s=0.01)
            await late

    asyncio.run(play())


def test_all_polls_of_a_process_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_polls, "POLLS_MAX", 1)

    async def play() -> None:
        async with Side() as side:
            side.poll()
            await side.looked(1)
            with pytest.raises(Busy):
                await side.poll("remote.b", NodeId(UUID(int=2)))

    asyncio.run(play())


def test_without_polls_nobody_looks_and_the_end_answers_all() -> None:
    async def play() -> None:
        async with Side() as side:
            await side.poll(timeout_s=0.0)
            assert side.database.asked == []
            poll = side.poll()
            await side.looked(1)
            await side.polls.close()
            await ended_soon(poll)
            before = len(side.database.asked)
            await side.poll(timeout_s=FOREVER_S)
            assert len(side.database.asked) == before

    asyncio.run(play())
