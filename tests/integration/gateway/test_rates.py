"""Limits of a key hold for all gateway processes together, at a few trips to Redis for a thousand requests."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from backend.domain.buckets import block
from backend.domain.errors import TooLarge
from backend.domain.rates import Face, Limits
from backend.gateway.rates.line import TOKENS
from tests.integration.gateway.conftest import Deployment, Process
from tests.waiting import PATIENCE_S

REQUESTS_FIELD, IN_FLIGHT_FIELD = "requests_per_minute", "in_flight"
HUGE = 1_000_000_000


async def many(deployment: Deployment, processes: list[Process], requests: int, at_once: int = 50) -> Counter[str]:
    """How so many requests fared, sent to the processes in turn, so many under way at once."""
    outcomes: Counter[str] = Counter()
    turns = iter(range(requests))

    async def client() -> None:
        for turn in turns:
            outcomes[await deployment.ask(processes[turn % len(processes)])] += 1

    await asyncio.gather(*(client() for _ in range(at_once)))
    return outcomes


def test_three_processes_admit_a_keys_limit_together_and_what_the_time_brings_and_no_more(
    deployment: Deployment,
) -> None:
    deployment.limits = Limits(600, HUGE, 1_000)

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            processes = [await stack.enter_async_context(deployment.process()) for _ in range(3)]
            started = time.monotonic()
            outcomes = await many(deployment, processes, 2_000)
            brought = 600 * (time.monotonic() - started) / 60
            admitted = outcomes[""]
            assert admitted <= 600 + brought
            # What one process holds is missing to the others for half a second: a block, and one drawn ahead.
            assert admitted >= 600 - 3 * 2 * block(600)
            assert outcomes[REQUESTS_FIELD] == 2_000 - admitted

    asyncio.run(scenario())


def test_a_limit_is_exact_to_the_last_request_when_processes_take_turns(deployment: Deployment) -> None:
    deployment.limits = Limits(60, HUGE, 1_000)

    async def scenario() -> None:
        async with deployment.process() as one, deployment.process() as other:
            started = time.monotonic()
            outcomes = await many(deployment, [one, other], 200, at_once=1)
            assert 60 <= outcomes[""] <= 60 + (time.monotonic() - started)

    asyncio.run(scenario())


def test_a_thousand_requests_cost_a_handful_of_trips_to_redis(deployment: Deployment) -> None:
    deployment.limits = Limits(300_000, 12_000_000, 256)

    async def scenario() -> None:
        async with deployment.process() as one, deployment.process() as other:
            for process in (one, other):
                assert await many(deployment, [process], 1_000) == {"": 1_000}
            assert one.trips <= 5
            assert other.trips <= 5

    asyncio.run(scenario())


def test_refused_requests_ask_redis_no_oftener_than_there_could_be_news(deployment: Deployment) -> None:
    deployment.limits = Limits(60, HUGE, 1_000)

    async def scenario() -> None:
        async with deployment.process() as process:
            await many(deployment, [process], 60)
            trips, started = process.trips, time.monotonic()
            outcomes = await many(deployment, [process], 5_000, at_once=1)
            assert outcomes[REQUESTS_FIELD] >= 5_000 - 1 - (time.monotonic() - started)
            assert process.trips - trips <= 2 * (1 + time.monotonic() - started)

    asyncio.run(scenario())


def test_what_an_idle_process_holds_goes_back_to_the_others(deployment: Deployment) -> None:
    deployment.limits = Limits(6_000, HUGE, 80)

    async def scenario() -> None:
        async with deployment.process() as one, deployment.process() as other:
            assert await deployment.ask(one) == ""
            await one.rates.settle(time.monotonic() + 1)
            started = time.monotonic()
            outcomes = await many(deployment, [other], 8_000, at_once=79)
            assert outcomes[""] >= 5_999
            assert outcomes[""] <= 5_999 + 1 + 6_000 * (time.monotonic() - started) / 60

    asyncio.run(scenario())


def test_requests_under_way_are_counted_over_all_processes(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.rates.permits.LEASE_MS", int(PATIENCE_S * 1_000))
    deployment.limits = Limits(6_000, HUGE, 20)

    async def scenario() -> None:
        async with deployment.process() as one, deployment.process() as other:
            visits = []
            for turn in range(40):
                process = (one, other)[turn % 2]
                visit = await process.rates.visit(deployment.caller, Face.SMALL)
                try:
                    visits.append(await visit.enter(1))
                except Exception as error:
                    assert getattr(error, "field", "") == IN_FLIGHT_FIELD  # noqa: PT017  # which limit it was
            assert 16 <= len(visits) <= 20  # a place or two may be in the hand of the one that does not need it
            for visit in visits:
                visit.leave()
                visit.leave()
            for process in (one, other):
                await process.rates.settle(time.monotonic() + 1)
            assert await deployment.ask(one) == ""

    asyncio.run(scenario())


def test_tokens_run_out_by_themselves_and_a_small_request_still_fits(deployment: Deployment) -> None:
    deployment.limits = Limits(6_000, 100, 1_000)

    async def scenario() -> None:
        async with deployment.process() as process:
            assert await deployment.ask(process, 90) == ""
            assert await deployment.ask(process, 50) == TOKENS
            assert await deployment.ask(process, 5) == ""
            with pytest.raises(TooLarge) as refused:
                await deployment.ask(process, 101)
            assert (refused.value.code, refused.value.field) == ("tokens_above_limit", TOKENS)

    asyncio.run(scenario())


def test_what_a_request_turns_out_to_cost_is_charged_to_those_that_come_after_it(deployment: Deployment) -> None:
    deployment.limits = Limits(6_000, 60, 1_000)

    async def scenario() -> None:
        async with deployment.process() as process, deployment.process() as other:
            visit = await process.rates.visit(deployment.caller, Face.SMALL)
            with await visit.enter(1):
                visit.charge(100)
            assert await deployment.ask(process) == TOKENS
            await process.rates.settle(time.monotonic() + 1)
            assert await deployment.ask(other) == TOKENS

    asyncio.run(scenario())


def test_a_changed_limit_counts_from_the_next_poll_on(deployment: Deployment) -> None:
    deployment.limits = Limits(60, HUGE, 1_000)

    async def scenario() -> None:
        async with deployment.process() as process:
            await many(deployment, [process], 30)
            deployment.limits, deployment.version = Limits(1, HUGE, 1_000), 2
            assert await deployment.ask(process) == ""
            await process.changes.poll()
            assert await deployment.ask(process) == ""  # the one that a minute gives
            assert await deployment.ask(process) == REQUESTS_FIELD

    asyncio.run(scenario())


def test_a_process_that_ends_while_it_draws_ahead_gives_all_back(deployment: Deployment) -> None:
    deployment.limits = Limits(6_000, HUGE, 1_000)

    async def scenario() -> None:
        started = time.monotonic()
        async with deployment.process() as process:
            while process.rates.permits.trips < 2:  # it has drawn ahead once
                assert await deployment.ask(process) == ""
            asked = process.rates.admitted[Face.SMALL]
            for _ in range(block(6_000)):
                visit = await process.rates.visit(deployment.caller, Face.SMALL)
                with await visit.enter(1):
                    asked += 1
        assert not process.is_alone()
        async with deployment.process() as other:
            visit = await other.rates.visit(deployment.caller, Face.SMALL)
            with await visit.enter(1):
                left = int(dict(visit.headers())[b"ratelimit-remaining"])
            assert 6_000 - asked - 1 <= left <= 6_000 - asked + 100 * (time.monotonic() - started)

    asyncio.run(scenario())


def test_each_face_counts_by_itself(deployment: Deployment) -> None:
    deployment.limits = Limits(1, HUGE, 1_000)

    async def scenario() -> None:
        async with deployment.process() as process:
            assert await deployment.ask(process, face=Face.SMALL) == ""
            assert await deployment.ask(process, face=Face.SMALL) == REQUESTS_FIELD
            assert await deployment.ask(process, face=Face.API) == ""

    asyncio.run(scenario())


def test_the_headers_tell_what_is_left_and_when_all_is_back(deployment: Deployment) -> None:
    deployment.limits = Limits(2, 30, 1_000)

    async def scenario() -> None:
        async with deployment.process() as process:
            visit = await process.rates.visit(deployment.caller, Face.SMALL)
            with await visit.enter(1):
                told = dict(visit.headers())
            assert told[b"ratelimit-limit"] == b"2"
            assert told[b"ratelimit-remaining"] == b"1"
            assert told[b"ratelimit-reset"] == b"30"
            assert told[b"ratelimit-policy"] == b'2;w=60, 30;w=60;comment="tokens"'

    asyncio.run(scenario())


def test_a_process_that_runs_gives_back_by_itself_what_it_does_not_use(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.rates.rates.SETTLE_S", 0.01)
    monkeypatch.setattr("backend.gateway.rates.permits.LEASE_MS", int(PATIENCE_S * 1_000))
    deployment.limits = Limits(60_000, HUGE, 2)

    async def scenario() -> None:
        async with deployment.process() as one, deployment.process() as other:
            visits = [await one.rates.visit(deployment.caller, Face.SMALL) for _ in range(2)]
            for visit in visits:
                await visit.enter(1)
            assert await deployment.ask(other) == IN_FLIGHT_FIELD
            for visit in visits:
                visit.leave()
            running = asyncio.create_task(one.rates.run())
            deadline = time.monotonic() + PATIENCE_S
            refused = IN_FLIGHT_FIELD
            while refused and time.monotonic() < deadline:
                await asyncio.sleep(0)
                refused = await deployment.ask(other)
            assert refused == ""
            running.cancel()

    asyncio.run(scenario())
