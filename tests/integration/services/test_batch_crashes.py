"""Whoever works on a batch may die anywhere: another goes on, and nothing is placed, run, charged or told twice."""

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.batches import FINAL, BatchState
from backend.services import batch_placing, batch_run
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork
from tests.integration.services.batching import Batching, lines
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")
ROUNDS_MAX = 500

Die = Callable[[str], bool]


class Dead(Exception):
    """The process ended here."""


class MortalUow(UnitOfWork):
    """A unit of work whose process may die just before it commits, or just after."""

    die: Die

    def commit(self) -> None:
        where = sys._getframe(1).f_code.co_name
        if self.die(f"before {where}"):
            raise Dead(where)
        super().commit()
        if self.die(f"after {where}"):
            raise Dead(where)


class MortalStore(ObjectStore):
    """An object store whose user may die before or after it stored something."""

    def __init__(self, url: str, die: Die) -> None:
        super().__init__(url)
        self._die = die

    def put_file(self, path: Path, key: str, *, replace: bool = False) -> None:
        kind = key.rpartition(".")[2]
        if self._die(f"before storing {kind}"):
            raise Dead(key)
        super().put_file(path, key, replace=replace)
        if self._die(f"after storing {kind}"):
            raise Dead(key)


def run_mortal(batching: Batching, name: str, die: Die) -> int:
    """Run a batch to its end with workers that die; returns how many did."""
    market, executor, deaths = batching.market, batching.market.executor(), 0

    def uow() -> UnitOfWork:
        made = MortalUow(market.app.engine, market.app.bus.publish)
        made.die = die
        return made

    objects = MortalStore(market.app.settings.objects, die)
    for _ in range(ROUNDS_MAX):
        batch = batching.show(name).batch
        if batch.state in FINAL and batch.tidied_at:
            return deaths
        batching.due()
        try:
            batch_run.work(uow, utc_now(), objects)
        except Dead:
            deaths += 1
        executor.beat()
        market.run(executor)
    raise AssertionError(f"{batching.show(name)} after {ROUNDS_MAX} rounds")


def assert_once(batching: Batching, name: str, count: int) -> None:
    """Every line ran once and is told once; every chunk has one order."""
    view, market = batching.show(name), batching.market
    assert (view.batch.state, view.batch.completed) == (BatchState.COMPLETED, count)
    told = [row["custom_id"] for row in batching.content(view.batch.output_file_id)]
    assert told == [f"r-{n}" for n in range(count)]
    with market.app.engine.begin() as connection:
        orders, ran, attempts = connection.execute(
            text("SELECT (SELECT count(*) FROM orders), count(*), max(attempt) FROM work_items WHERE state = 'settled'")
        ).one()
        deliveries = connection.execute(text("SELECT count(*) FROM account_deliveries")).scalar_one()
    assert (orders, ran, attempts, deliveries) == (-(-count // 2), count, 1, 1)
    assert market.wallet().reserved_nano == 0
    assert dict(market.app.objects.keys()).keys() >= {f"files/{view.batch.output_file_id}"}
    assert not [key for key in dict(market.app.objects.keys()) if key.startswith("batches/")]


@pytest.fixture
def batching(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batching:
    """A market with a node, for orders of two items of which two may be open."""
    monkeypatch.setattr("backend.services.batch_lines.ITEMS_PER_ORDER_MAX", 2)
    monkeypatch.setattr(batch_placing, "OPEN_ORDERS_MAX", 2)
    market.node("a", slots=4)
    return Batching(market, tmp_path)


def test_a_batch_survives_a_death_at_every_point_once(batching: Batching) -> None:
    seen: set[str] = set()

    def die(where: str) -> bool:
        known = where in seen
        seen.add(where)
        return not known

    name = batching.submit(lines(7), swarmex_webhook="https://example.com/hook")
    deaths = run_mortal(batching, name, die)
    assert deaths == len(seen)
    assert {"before _place", "after _place", "before _mark", "after _end", "after storing outputs"} <= seen
    assert_once(batching, name, 7)


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_survives_deaths_at_random_points(batching: Batching, seed: int) -> None:
    chance = Random(seed)
    name = batching.submit(lines(9), swarmex_webhook="https://example.com/hook")
    deaths = run_mortal(batching, name, lambda _: chance.random() < 0.2)
    assert deaths > 0
    assert_once(batching, name, 9)


def test_two_workers_with_the_same_batch_in_hand_place_each_chunk_once(batching: Batching) -> None:
    name = batching.submit(lines(8), swarmex_webhook="https://example.com/hook")
    batching.work()
    uow, objects = batching.market.app.uow, batching.objects
    with uow() as reading:
        stale = reading.batches.find(batching.show(name).batch.id)
    assert stale is not None
    executor = batching.market.executor()
    for _ in range(40):
        for _ in range(2):  # as two that read it at the same moment
            batch_run.step(uow, utc_now(), objects, stale)
        batching.due()
        executor.beat()
        batching.market.run(executor)
    batching.work(rounds=3)
    assert_once(batching, name, 8)
