"""Items of a unit that share runs of a real model: their outputs, their time, and the one that must fail alone."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from agents.engines.base import InferenceFailed, Loaded
from agents.engines.onnx import OnnxEngine
from agents.inference import held_model
from agents.inference.item_batch import ItemBatch
from agents.inference.models import LoadedModels
from agents.inference.runner import UnitReport, UnitRunner
from agents.model_cache import ModelCache
from backend.bootstrap import new_id
from backend.domain.ids import ItemId, NodeId, UnitId
from backend.domain.tensors import Array
from backend.domain.work import ClaimedItem, ItemFailure, ItemResult, ModelRef
from backend.storage.objects import ObjectStore
from tests.integration.agents.conftest import Node
from tests.market import Market
from tests.onnx_files import reference_to, request, write_doubling


class Watched:
    """ONNX models that note the rows of each run, and break on what is below zero."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def load(self, path: Path) -> Loaded:
        return _Watched(self.rows, OnnxEngine().load(path))


class _Watched:
    def __init__(self, rows: list[int], model: Loaded) -> None:
        self._rows, self._model = rows, model

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self._rows.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise InferenceFailed("below zero")
        return self._model.run(inputs)


class Bench:
    """A model in memory, and items for it."""

    def __init__(self, folder: Path) -> None:
        store = ObjectStore((folder / "objects").as_uri())
        path = write_doubling(folder / "m.onnx")
        store.put_file(path, "models/m.onnx")
        self.ref: ModelRef = reference_to(path)
        self.engine = Watched()
        self.held = LoadedModels(ModelCache(folder / "cache", store), self.engine).get(self.ref)
        self.held.batch.rows = 8
        self.engine.rows.clear()

    def item(self, *rows: tuple[float, float], inputs: object = None, attempt: int = 1) -> ClaimedItem:
        body = json.dumps(inputs or request(*rows)).encode()
        return ClaimedItem(ItemId(new_id()), 1, attempt, NodeId(new_id()), max(1, len(rows)), body, self.ref)

    def run(self, items: list[ClaimedItem]) -> list[Any]:
        """Outcomes in the order of the items, taken in chunks as the runner does."""
        batch, outcomes, start = ItemBatch(self.ref, self.held), {}, 0
        while start < len(items):
            chunk = batch.next_of(items, start)
            start += len(chunk)
            outcomes.update({item.item_id: outcome for item, outcome in batch.run(chunk)})
        return [outcomes[item.item_id] for item in items]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("agents.inference.held_model.BATCH_US_MAX", 600_000_000)  # no run is slow, however busy we are
    return Bench(tmp_path)


def data_of(outcome: object) -> list[float]:
    assert isinstance(outcome, ItemResult)
    data: list[float] = json.loads(outcome.outputs)["outputs"][0]["data"]
    return data


def test_items_share_runs_and_each_gets_its_own_outputs(bench: Bench) -> None:
    items = [bench.item(*[(float(n), 1.0)] * (n % 3 + 1)) for n in range(10)]
    outcomes = bench.run(items)
    assert [data_of(outcome) for outcome in outcomes] == [[2.0 * n, 2.0] * (n % 3 + 1) for n in range(10)]
    assert sum(bench.engine.rows) == sum(item.rows for item in items)
    assert len(bench.engine.rows) < len(items)
    assert max(bench.engine.rows) <= held_model.BATCH_ROWS_MAX


def test_an_item_that_breaks_the_model_fails_alone(bench: Bench) -> None:
    outcomes = bench.run([bench.item((1.0, 1.0)), bench.item((-1.0, 1.0)), bench.item((3.0, 1.0))])
    assert data_of(outcomes[0]) == [2.0, 2.0]
    assert isinstance(outcomes[1], InferenceFailed)
    assert data_of(outcomes[2]) == [6.0, 2.0]
    assert bench.engine.rows == [3, 1, 1, 1]


@pytest.mark.parametrize("inputs", [{"inputs": []}, [1], {"inputs": [{"name": "x"}]}])
def test_an_item_that_cannot_be_read_disturbs_nobody(bench: Bench, inputs: object) -> None:
    outcomes = bench.run([bench.item((1.0, 1.0)), bench.item(inputs=inputs), bench.item((3.0, 1.0))])
    assert isinstance(outcomes[1], Exception)
    assert bench.engine.rows == [2]


def test_an_item_that_came_back_runs_alone_since_it_may_be_what_its_neighbours_did_not_survive(bench: Bench) -> None:
    items = [bench.item((1.0, 1.0), attempt=attempt) for attempt in (1, 1, 2, 1, 1, 3)]
    bench.run(items)
    assert bench.engine.rows == [2, 1, 2, 1]


def test_rows_that_do_not_keep_apart_never_share_a_run(bench: Bench) -> None:
    bench.held.joins = False
    bench.run([bench.item((1.0, 1.0)), bench.item((2.0, 1.0))])
    assert bench.engine.rows == [1, 1]


def test_batches_grow_from_one_so_that_a_slow_model_is_found_out_early(bench: Bench) -> None:
    bench.held.batch.rows = 1
    bench.run([bench.item((1.0, 1.0)) for _ in range(15)])
    assert bench.engine.rows == [1, 2, 4, 8]


def test_an_item_larger_than_a_batch_runs_all_the_same(bench: Bench) -> None:
    [outcome] = bench.run([bench.item(*[(1.0, 2.0)] * 20)])
    assert data_of(outcome) == [2.0, 4.0] * 20
    assert bench.engine.rows == [20]


def test_outputs_too_large_to_be_sent_fail_their_item_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.inference.item_batch.PAYLOAD_BYTES_MAX", 200)
    small, large = bench.run([bench.item((1.0, 1.0)), bench.item(*[(1.0, 1.0)] * 100)])
    assert isinstance(small, ItemResult)
    assert isinstance(large, InferenceFailed)


def rows(market: Market, statement: str) -> list[tuple[Any, ...]]:
    with market.app.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


class Unit:
    """A unit of the market's model on a node whose runs are watched."""

    def __init__(self, market: Market, node: Node, folder: Path, count: int) -> None:
        self.engine = Watched()
        self.models = LoadedModels(ModelCache(folder / "watched", market.app.objects), self.engine)
        self.runner = UnitRunner(node.port, self.models, node.claims)
        market.node("a")
        market.place(requests=[request((float(n), 1.0)) for n in range(count)], workload="batch")
        market.clear()
        self.ids = [dispatch.unit_id for dispatch in market.dispatched()]

    def run(self, unit: UnitId | None = None) -> UnitReport:
        return self.runner.run(unit or self.ids[0])


def test_every_item_is_billed_for_something_and_never_above_its_profile(
    market: Market, node: Node, tmp_path: Path
) -> None:
    unit = Unit(market, node, tmp_path, 8)
    report = unit.run()
    assert report.committed == report.claimed > 1
    assert len(unit.engine.rows) >= 1
    reported = rows(market, "SELECT reported_us, billed_us, us_max FROM work_items WHERE state = 'committed'")
    assert all(us >= 1 and billed <= min(us, most) for us, billed, most in reported)


def test_what_others_took_meanwhile_is_not_run(
    market: Market, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_model, "BATCH_ROWS_MAX", 1)
    unit = Unit(market, node, tmp_path, 8)
    run = ItemBatch.run
    lost: list[ItemFailure] = []

    def lose_the_next(batch: ItemBatch, items: list[ClaimedItem]) -> object:
        if not lost:
            held = [ItemFailure(*claim, "taken") for claim in node.claims.held() if claim[0] != items[0].item_id]
            lost.extend(held[:2])
            node.claims.let_go(lost)
        return run(batch, items)

    monkeypatch.setattr(ItemBatch, "run", lose_the_next)
    report = unit.run()
    assert report.lost == len(lost) == 2
    assert report.committed == report.claimed - 2


def test_work_moves_on_item_by_item_whatever_became_of_it(market: Market, node: Node, tmp_path: Path) -> None:
    unit = Unit(market, node, tmp_path, 6)
    with market.app.engine.begin() as connection:
        bad = "SELECT id FROM work_items WHERE unit_id = :unit LIMIT 1"
        connection.execute(text(f"UPDATE work_items SET inputs = 'no' WHERE id = ({bad})"), {"unit": unit.ids[0]})
    report = unit.run()
    assert report.failed == 1
    assert unit.runner.done == report.claimed


def test_a_model_that_cannot_be_loaded_fails_its_items_once_each(market: Market, node: Node, tmp_path: Path) -> None:
    unit = Unit(market, node, tmp_path, 4)
    [stored] = (market.app.folder / "objects").rglob("*.onnx")
    stored.unlink()
    report = unit.run()
    assert report.failed == report.claimed > 0
    assert unit.models.counts.refusals == 1


def test_results_are_those_of_items_run_alone(bench: Bench) -> None:
    items = [bench.item((float(n), n / 3)) for n in range(8)]
    together = bench.run(items)
    alone = [outcome for item in items for outcome in bench.run([replace(item, attempt=2)])]
    assert [one.outputs for one in together] == [one.outputs for one in alone]
