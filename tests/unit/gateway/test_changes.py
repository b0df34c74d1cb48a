"""Cached facts are forgotten when their counter moves, and nothing is served by answers that are too old."""

import asyncio
from typing import Literal

import pytest

from backend.domain.access import Principal, Role
from backend.domain.errors import Unauthenticated, Unavailable
from backend.domain.ids import AccountId, KeyId
from backend.gateway.changes import Changes
from backend.gateway.keys import Keys
from backend.gateway.limits import FAIL_CLOSED_S
from backend.gateway.threads import Threads
from backend.storage.ids import new_id
from tests.waiting import FOREVER_S, PATIENCE_S


class Coordinator:
    """Counters and keys as a database would hold them, and a clock that the test moves."""

    def __init__(self) -> None:
        self.versions = {"keys": 1, "models": 1}
        self.keys = {"swx_a": Principal(KeyId(new_id()), AccountId(new_id()), Role.USER)}
        self.down = False
        self.now_s = 0.0
        self.lookups = 0

    def read(self) -> dict[str, int]:
        if self.down:
            raise ConnectionError("gone")
        return dict(self.versions)

    def authenticate(self, secret: str) -> Principal:
        self.lookups += 1
        if secret not in self.keys:
            raise Unauthenticated("unknown key")
        return self.keys[secret]


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


async def polled(coordinator: Coordinator) -> tuple[Changes, Keys]:
    threads = Threads(2, 2)
    changes = Changes(coordinator.read, threads, lambda: coordinator.now_s)
    keys = Keys(coordinator.authenticate, threads, changes)
    await changes.poll()
    return changes, keys


def test_a_known_key_is_looked_up_once(coordinator: Coordinator) -> None:
    async def scenario() -> None:
        changes, keys = await polled(coordinator)
        for _ in range(3):
            assert await keys.principal("swx_a") == coordinator.keys["swx_a"]
            await changes.poll()

    asyncio.run(scenario())
    assert coordinator.lookups == 1


def test_a_revoked_key_opens_nothing_after_the_next_poll(coordinator: Coordinator) -> None:
    async def scenario() -> None:
        changes, keys = await polled(coordinator)
        await keys.principal("swx_a")
        del coordinator.keys["swx_a"]
        coordinator.versions["keys"] += 1
        await changes.poll()
        with pytest.raises(Unauthenticated):
            await keys.principal("swx_a")

    asyncio.run(scenario())


def test_a_key_that_was_unknown_works_after_the_poll_that_follows_its_creation(
    coordinator: Coordinator,
) -> None:
    async def scenario() -> None:
        changes, keys = await polled(coordinator)
        secret = "swx_b"
        with pytest.raises(Unauthenticated):
            await keys.principal(secret)
        coordinator.keys[secret] = coordinator.keys["swx_a"]
        coordinator.versions["keys"] += 1
        await changes.poll()
        await keys.principal(secret)

    asyncio.run(scenario())


def test_a_change_of_something_else_forgets_no_key(coordinator: Coordinator) -> None:
    async def scenario() -> None:
        changes, keys = await polled(coordinator)
        await keys.principal("swx_a")
        coordinator.versions["models"] += 1
        await changes.poll()
        await keys.principal("swx_a")

    asyncio.run(scenario())
    assert coordinator.lookups == 1


def test_without_an_answer_for_too_long_even_known_keys_are_refused_until_it_answers_again(
    coordinator: Coordinator,
) -> None:
    async def scenario() -> None:
        changes, keys = await polled(coordinator)
        await keys.principal("swx_a")
        coordinator.down = True
        coordinator.now_s = FAIL_CLOSED_S
        with pytest.raises(ConnectionError):
            await changes.poll()
        await keys.principal("swx_a")
        coordinator.now_s = FAIL_CLOSED_S + 0.01
        with pytest.raises(Unavailable) as refused:
            await keys.principal("swx_a")
        assert refused.value.code == "coordinator_unreachable"
        coordinator.down = False
        await changes.poll()
        await keys.principal("swx_a")

    asyncio.run(scenario())


def test_nothing_is_served_before_the_first_answer(coordinator: Coordinator) -> None:
    async def scenario() -> None:
        threads = Threads(1, 1)
        keys = Keys(coordinator.authenticate, threads, Changes(coordinator.read, threads))
        with pytest.raises(Unavailable):
            await keys.principal("swx_a")

    asyncio.run(scenario())


def test_a_hint_makes_the_next_poll_come_at_once(coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.gateway.changes.POLL_S", FOREVER_S)

    async def scenario() -> None:
        threads = Threads(1, 1)
        changes = Changes(coordinator.read, threads)
        first, forgotten = asyncio.Event(), asyncio.Event()
        changes.watch("models", first.set)
        running = asyncio.create_task(changes.run())
        await asyncio.wait_for(first.wait(), PATIENCE_S)
        changes.watch("keys", forgotten.set)
        coordinator.versions["keys"] += 1
        changes.hint()
        await asyncio.wait_for(forgotten.wait(), PATIENCE_S)
        running.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("secret", ["ключ", "x" * 201])
def test_what_cannot_be_a_key_is_refused_without_asking(coordinator: Coordinator, secret: str) -> None:
    async def scenario() -> None:
        _, keys = await polled(coordinator)
        with pytest.raises(Unauthenticated):
            await keys.principal(secret)

    asyncio.run(scenario())
    assert coordinator.lookups == 0


class Watched(asyncio.Event):
    """A hint that tells when it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.awaited.set()
        return await super().wait()


def test_looking_ends_when_it_is_told_to_although_a_hint_comes_at_the_same_moment(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.changes.POLL_S", PATIENCE_S)

    async def scenario() -> None:
        changes, _ = await polled(coordinator)
        hint = changes._hint = Watched()
        looking = asyncio.create_task(changes.run())
        await hint.awaited.wait()
        changes.hint()
        looking.cancel()
        await asyncio.wait({looking}, timeout=1.0)
        ended = looking.done()
        looking.cancel()
        assert ended

    asyncio.run(scenario())
