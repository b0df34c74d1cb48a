"""Requests of several tiers for one model on a node's own threads: who is in the next run, and who never waits."""

import asyncio
from pathlib import Path

import pytest

from agents.inference import batcher as batching
from agents.inference import held_model
from agents.inference.admission import Full
from agents.inference.execution import Execution
from backend.domain.tiers import TierName
from backend.domain.urgency import Urgency, kept_of
from tests.integration.agents.gated import Stand, on, values_of
from tests.waiting import FOREVER_S


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody runs beside the batch that is under way, unless a test wants it."""
    monkeypatch.setattr(batching, "DELAY_MAX_S", FOREVER_S)


def ranked(asked: "dict[str, asyncio.Task[Execution]]") -> list[str]:
    """Notes names of requests as they are answered."""
    answered: list[str] = []
    for name, task in asked.items():
        task.add_done_callback(lambda _, name=name: answered.append(name))  # type: ignore[misc]  # of this turn
    return answered


@pytest.mark.parametrize("joins", [True, False])
def test_of_what_waits_larger_tiers_are_in_the_next_run_and_others_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joins: bool
) -> None:
    monkeypatch.setattr(held_model, "BATCH_ROWS_MAX", 2)

    async def steps(stand: Stand) -> None:
        held = stand.models.peek(stand.ref.checksum)
        assert held is not None
        held.joins = joins
        held.batch.rows = 2
        first = await stand.one_runs(TierName.ENTERPRISE)
        order = "small", "medium", "large", "enterprise"
        asked = {f"{tier} {n}": stand.ask(n, tier=TierName(tier)) for n in (1, 2) for tier in order}
        asked["small and large"] = stand.ask(3, 4, tier=TierName.SMALL)
        answered = ranked(asked)
        await asyncio.sleep(0)
        stand.engine.open.set()
        await asyncio.gather(first, *asked.values())
        assert answered == [f"{tier} {n}" for tier in reversed(order) for n in (1, 2)] + ["small and large"]
        assert stand.engine.rows == [1, *((2,) * 5 if joins else (1,) * 8 + (2,))]

    on(tmp_path, steps, threads=1)


def test_a_run_takes_smaller_tiers_along_where_there_is_room(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs(TierName.ENTERPRISE)
        others = [stand.ask(n, tier=tier) for n, tier in enumerate(TierName)]
        await asyncio.sleep(0)
        stand.engine.open.set()
        await asyncio.gather(first, *others)
        assert stand.engine.rows == [1, 4]

    on(tmp_path, steps)


def test_what_goes_before_all_that_runs_waits_for_none_of_it(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        small = [await stand.one_runs(TierName.SMALL), *(stand.ask(2, tier=TierName.SMALL) for _ in range(20))]
        await asyncio.to_thread(stand.engine.begun.acquire)
        assert stand.engine.rows == [1, 8], "both threads are at it"
        enterprise = stand.ask(3, tier=TierName.ENTERPRISE)
        await asyncio.to_thread(stand.engine.begun.acquire)
        assert stand.engine.rows[2] == 8, "with as many of those that wait as there is room for"
        stand.engine.open.set()
        assert values_of(await enterprise) == [6.0]
        await asyncio.gather(*small)

    on(tmp_path, steps)


def test_nothing_is_kept_of_requests_that_leave_before_there_is_room_for_them(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        with stand.admission.runs.room(Urgency(0.0, 0)):
            leaving = [stand.ask(1, tier=TierName.SMALL), stand.ask(2, tier=TierName.SMALL)]
            await asyncio.sleep(0)
            assert len(stand.batcher._lanes) == 1
            for task in leaving:
                task.cancel()
            await asyncio.wait(leaving)
            assert stand.batcher._lanes == {}
            assert stand.admission.in_flight == 0
        assert values_of(await stand.ask(3)) == [6.0]

    on(tmp_path, steps, threads=1, spare=0)


def test_requests_without_any_rows_are_answered_like_others(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs()
        empty = [stand.ask(), stand.ask()]
        await asyncio.sleep(0)
        stand.engine.open.set()
        await first
        assert [values_of(one) for one in await asyncio.gather(*empty, stand.ask())] == [[], [], []]
        assert stand.admission.in_flight == 0

    on(tmp_path, steps, threads=1)


def test_a_flood_of_one_tier_does_not_take_the_places_of_the_others(tmp_path: Path) -> None:
    async def steps(stand: Stand) -> None:
        first = await stand.one_runs(TierName.SMALL)
        flood = [stand.ask(1, tier=TierName.SMALL) for _ in range(64)]
        await asyncio.sleep(0)
        refused = [task for task in flood if task.done()]
        assert len(refused) == 1 + sum(kept for tier, kept in kept_of(64).items() if tier is not TierName.SMALL)
        enterprise = stand.ask(3, tier=TierName.ENTERPRISE)
        await asyncio.sleep(0)
        stand.engine.open.set()
        assert values_of(await enterprise) == [6.0]
        outcomes = await asyncio.gather(first, *flood, return_exceptions=True)
        assert sum(isinstance(one, Full) for one in outcomes) == len(refused)
        assert stand.admission.in_flight == 0

    on(tmp_path, steps)
