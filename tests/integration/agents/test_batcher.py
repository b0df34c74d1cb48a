"""Real-time requests of one model on a node's own threads: what is joined, what is not, and who leaves in time."""

import asyncio
import threading
from pathlib import Path
from random import Random

import pytest

from agents.engines.base import InferenceFailed
from agents.inference import batcher as batching
from agents.inference.admission import Draining, Full
from agents.inference.execution import Execution
from backend.domain.errors import ChecksumMismatch
from tests.integration.agents.gated import Stand, on, values_of
from tests.onnx_files import reference_to, write_doubling
from tests.waiting import FOREVER_S, until


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody runs beside the batch that is under way, unless a test wants it."""
    monkeypatch.setattr(batching, "DELAY_MAX_S", FOREVER_S)


def test_a_lone_request_is_not_delayed(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        assert values_of(await stand.ask(3)) == [6.0]
        assert values_of(await stand.ask(4)) == [8.0]
        assert stand.engine.rows == [1, 1]

    on(tmp_path, steps)


def test_what_gathers_while_a_batch_runs_is_the_next_one(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs()
        others = [stand.ask(2), stand.ask(3, 4), stand.ask(5)]
        await asyncio.sleep(0)
        stand.engine.open.set()
        done = await asyncio.gather(first, *others)
        assert [values_of(one) for one in done] == [[2.0], [4.0], [6.0, 8.0], [10.0]]
        assert stand.engine.rows == [1, 4]
        assert (stand.batcher.counts.runs, stand.batcher.counts.requests, stand.batcher.counts.rows) == (2, 4, 5)

    on(tmp_path, steps)


def test_the_time_of_a_batch_is_shared_by_rows(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs()
        small, large = stand.ask(1), stand.ask(*range(7))
        await asyncio.sleep(0)
        threading.Timer(0.05, stand.engine.open.set).start()
        await first
        stand.engine.rows.clear()
        small_us, large_us = (await small).busy_us, (await large).busy_us
        assert 1 <= small_us <= large_us

    on(tmp_path, steps)


def test_who_leaves_while_waiting_never_runs_and_gives_the_place_back(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs()
        leaving, staying = stand.ask(2), stand.ask(3)
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await stand.ask(4)
        leaving.cancel()
        await asyncio.wait([leaving])
        late = stand.ask(5)
        await asyncio.sleep(0)
        stand.engine.open.set()
        assert [values_of(one) for one in await asyncio.gather(first, staying, late)] == [[2.0], [6.0], [10.0]]
        assert stand.engine.rows == [1, 2]

    on(tmp_path, steps, in_flight_max=3)


def test_who_leaves_while_running_keeps_the_place_until_the_thread_is_free(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs()
        first.cancel()
        await asyncio.wait([first])
        with pytest.raises(Full):
            await stand.ask(2)
        stand.engine.open.set()
        while True:
            try:
                assert values_of(await stand.ask(2)) == [4.0]
                return
            except Full:
                await asyncio.sleep(0.001)

    on(tmp_path, steps, in_flight_max=1)


def test_a_bad_request_fails_alone(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs()
        good, bad, last = stand.ask(2), stand.ask(-1), stand.ask(3)
        await asyncio.sleep(0)
        stand.engine.open.set()
        await first
        assert values_of(await good) == [4.0]
        assert values_of(await last) == [6.0]
        with pytest.raises(InferenceFailed):
            await bad

    on(tmp_path, steps)


def test_a_batch_has_as_many_rows_as_the_model_runs_well(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs()
        others = [stand.ask(n, n, n) for n in range(6)]
        await asyncio.sleep(0)
        stand.engine.open.set()
        await asyncio.gather(first, *others)
        assert stand.engine.rows[0] == 1
        assert sum(stand.engine.rows) == 19
        assert max(stand.engine.rows) == 6, "three would be nine rows"

    on(tmp_path, steps, threads=1)


def test_after_the_longest_delay_a_request_runs_beside_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "DELAY_MAX_S", 0.01)

    async def steps(stand: Stand) -> None:
        await stand.one_runs()
        second = stand.ask(2)
        await asyncio.to_thread(stand.engine.begun.acquire)
        stand.engine.open.set()
        assert values_of(await second) == [4.0]

    on(tmp_path, steps)


def test_a_full_batch_does_not_wait_for_a_free_thread_to_do_nothing(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        await stand.one_runs()
        others = [stand.ask(n) for n in range(8)]
        await asyncio.to_thread(stand.engine.begun.acquire)
        assert stand.engine.rows == [1, 8]
        stand.engine.open.set()
        await asyncio.gather(*others)

    on(tmp_path, steps)


def test_a_model_whose_rows_do_not_keep_apart_is_never_joined(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        held = stand.models.peek(stand.ref.checksum)
        assert held is not None
        held.joins = False
        first = await stand.one_runs()
        others = [stand.ask(2), stand.ask(3)]
        await asyncio.sleep(0)
        stand.engine.open.set()
        await asyncio.gather(first, *others)
        assert stand.engine.rows == [1, 1, 1]

    on(tmp_path, steps)


def test_a_model_that_cannot_be_loaded_is_refused_to_each(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        other = reference_to(write_doubling(tmp_path / "other.onnx", 3.0))  # the store has another file by that key
        for _ in range(2):
            with pytest.raises(ChecksumMismatch):
                await stand.ask(1, ref=other)
        assert values_of(await stand.ask(1)) == [2.0]

    on(tmp_path, steps)


def test_a_draining_node_takes_no_more_and_finishes_what_it_has(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs()
        waiting = stand.ask(2)
        await asyncio.sleep(0)
        stand.admission.draining = True
        with pytest.raises(Draining):
            await stand.ask(3)
        stand.engine.open.set()
        assert [values_of(one) for one in await asyncio.gather(first, waiting)] == [[2.0], [4.0]]

    on(tmp_path, steps)


def test_nothing_is_kept_of_requests_that_are_over(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        await asyncio.gather(*(stand.ask(n) for n in range(50)))
        assert stand.batcher._lanes == {}
        assert stand.admission.in_flight == 0

    on(tmp_path, steps)


def test_whoever_leaves_and_whoever_fails_the_others_get_their_own_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "DELAY_MAX_S", 0.0005)
    chance = Random(6)

    async def steps(stand: Stand) -> None:
        asked: dict[asyncio.Task[Execution], list[float]] = {}
        for number in range(400):
            values = [float(number)] * chance.randint(1, 5) if chance.random() < 0.9 else [-1.0]
            asked[stand.ask(*values)] = values
            if chance.random() < 0.3:
                chance.choice(list(asked)).cancel()
            if chance.random() < 0.2:
                await asyncio.sleep(0.001)
        await asyncio.wait(asked)
        for task, values in asked.items():
            if task.cancelled():
                continue
            if values == [-1.0]:
                assert isinstance(task.exception(), InferenceFailed)
            else:
                assert values_of(task.result()) == [2 * value for value in values]
        idle = asyncio.to_thread(until, lambda: not (stand.admission.in_flight or stand.batcher._lanes), "it is idle")
        await idle
        assert stand.batcher.counts.runs < stand.batcher.counts.requests

    on(tmp_path, steps, in_flight_max=400)
