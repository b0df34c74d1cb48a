"""The cache of the gateway: bounded, single flight, and never stale after it was emptied."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from backend.domain.errors import NotFound, Unavailable
from backend.gateway.cache import Cache
from backend.gateway.threads import Threads
from tests.waiting import PATIENCE_S


@pytest.fixture
def threads() -> Iterator[Threads]:
    pool = Threads(threads=4, waiting_max=4)
    yield pool
    pool.close()


class Source:
    """A slow truth that counts how often it is asked."""

    def __init__(self, value: str = "first") -> None:
        self.value = value
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.was_asked = threading.Event()

    def __call__(self) -> str:
        self.asked += 1
        seen = self.value
        self.was_asked.set()
        self.may_answer.wait(PATIENCE_S)
        return seen


def test_a_value_is_loaded_once_for_all_who_ask_at_the_same_time(threads: Threads) -> None:
    source = Source()

    async def scenario() -> list[str]:
        cache: Cache[str, str] = Cache(threads, 10)
        return list(await asyncio.gather(*(cache.get("key", source) for _ in range(20))))

    assert asyncio.run(scenario()) == ["first"] * 20
    assert source.asked == 1


def test_an_answer_read_before_the_cache_was_emptied_is_not_kept(threads: Threads) -> None:
    source = Source()

    async def scenario() -> tuple[str, str]:
        cache: Cache[str, str] = Cache(threads, 10)
        source.may_answer.clear()
        early = asyncio.create_task(cache.get("key", source))
        await asyncio.to_thread(source.was_asked.wait, 5)
        source.value = "second"
        cache.clear()
        source.may_answer.set()
        return await early, await cache.get("key", source)

    assert asyncio.run(scenario()) == ("first", "second")


def test_the_least_recently_used_value_leaves_first(threads: Threads) -> None:
    sources = {name: Source(name) for name in "abc"}

    async def scenario() -> None:
        cache: Cache[str, str] = Cache(threads, 2)
        for name in "abacab":
            assert await cache.get(name, sources[name]) == name

    asyncio.run(scenario())
    assert {name: source.asked for name, source in sources.items()} == {"a": 1, "b": 2, "c": 1}


def test_what_does_not_exist_is_remembered_and_cannot_push_out_what_does(threads: Threads) -> None:
    asked = 0

    def unknown() -> str:
        nonlocal asked
        asked += 1
        raise NotFound("model", "nobody")

    async def scenario() -> None:
        cache: Cache[str, str] = Cache(threads, 1)
        source = Source()
        await cache.get("known", source)
        for _ in range(3):
            with pytest.raises(NotFound):
                await cache.get("unknown", unknown)
        await cache.get("known", source)
        assert (source.asked, asked) == (1, 1)
        cache.clear()
        with pytest.raises(NotFound):
            await cache.get("unknown", unknown)
        assert asked == 2

    asyncio.run(scenario())


def test_a_failure_is_not_remembered(threads: Threads) -> None:
    answers: list[str | Exception] = [Unavailable("not now"), "now"]

    def sometimes() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def scenario() -> str:
        cache: Cache[str, str] = Cache(threads, 1)
        with pytest.raises(Unavailable):
            await cache.get("key", sometimes)
        return await cache.get("key", sometimes)

    assert asyncio.run(scenario()) == "now"


def test_a_thread_pool_refuses_what_it_cannot_start_soon_instead_of_queueing_it() -> None:
    pool = Threads(threads=1, waiting_max=1)
    source = Source()
    source.may_answer.clear()

    async def scenario() -> None:
        waiting = [asyncio.create_task(pool.run(source)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as refused:
            await pool.run(source)
        assert refused.value.code == "overloaded"
        source.may_answer.set()
        await asyncio.gather(*waiting)
        assert await pool.run(source) == "first"

    asyncio.run(scenario())
    pool.close()


def test_a_call_that_takes_too_long_ends_as_unreachable_and_gives_its_place_back_later() -> None:
    pool = Threads(threads=1, waiting_max=0)
    source = Source()
    source.may_answer.clear()

    async def scenario() -> None:
        with pytest.raises(Unavailable) as late:
            await pool.run(source, timeout_s=0.05)
        assert late.value.code == "coordinator_unreachable"
        with pytest.raises(Unavailable) as full:
            await pool.run(source)
        assert full.value.code == "overloaded"
        source.may_answer.set()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(Unavailable):  # until the late one has given its place back
                    assert await pool.run(source, timeout_s=PATIENCE_S) == "first"
                    break
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
    pool.close()
