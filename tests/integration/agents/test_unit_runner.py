"""Units through the work port on a real database: claimed, run, committed in groups, kept and lost."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from agents.inference import held_model, outcomes, sparing
from agents.inference import models as loaded_models
from agents.inference.item_batch import ItemBatch, Outcome
from agents.inference.runner import UnitReport
from backend.bootstrap import utc_now
from backend.domain.events import Topic
from backend.domain.ids import ItemId, UnitId
from backend.domain.orders import OrderState
from backend.domain.work import ATTEMPTS_MAX, ClaimedItem, ItemResult
from backend.services import sweeper
from tests.integration.agents.conftest import Node
from tests.integration.agents.disks import disk_away
from tests.integration.messaging.listening import connected
from tests.market import Market
from tests.onnx_files import request, write_doubling
from tests.waiting import PATIENCE_S, until


def rows(market: Market, statement: str) -> list[tuple[Any, ...]]:
    """What the owner sees in the database."""
    with market.app.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


class Halt:
    """Keeps a node in the middle of its work: after `free` items each waits until it may go on."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch, free: int = 0) -> None:
        self.reached, self.may_go_on = threading.Event(), threading.Event()
        monkeypatch.setattr(held_model, "BATCH_ROWS_MAX", 1)
        run, number = ItemBatch.run, itertools.count()

        def run_when_allowed(batch: ItemBatch, items: list[ClaimedItem]) -> Iterator[tuple[ClaimedItem, Outcome]]:
            if next(number) >= free:
                self.reached.set()
                assert self.may_go_on.wait(PATIENCE_S)
            return run(batch, items)

        monkeypatch.setattr(ItemBatch, "run", run_when_allowed)

    @contextmanager
    def in_the_middle(self, run: Callable[[], object]) -> Iterator[None]:
        """The block happens while `run` waits in the middle, which has ended after it."""
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(run)
            assert self.reached.wait(PATIENCE_S)
            try:
                yield
            finally:
                self.may_go_on.set()
            running.result(PATIENCE_S)


def change(market: Market, statement: str) -> None:
    """As its owner would."""
    with market.app.engine.begin() as connection:
        connection.execute(text(statement))


def units(market: Market) -> list[UnitId]:
    return [dispatch.unit_id for dispatch in market.dispatched()]


def test_a_unit_is_run_and_its_results_are_those_of_the_model(market: Market, node: Node) -> None:
    market.node("a")
    [order] = market.place(requests=[request((1.0, 2.0)), request((3.0, 4.0), (5.0, 6.0))], workload="batch")
    market.clear()
    reports = [node.runner.run(unit) for unit in units(market)]
    assert sum(report.committed for report in reports) == 2
    outputs = [json.loads(bytes(value)) for (value,) in rows(market, "SELECT outputs FROM work_items ORDER BY id")]
    assert [output["outputs"][0]["data"] for output in outputs] == [[2.0, 4.0], [6.0, 8.0, 10.0, 12.0]]
    assert all(busy >= 1 for (busy,) in rows(market, "SELECT reported_us FROM work_items"))
    market.settle()
    assert market.show(order).state == OrderState.SETTLED


def test_a_message_that_comes_twice_or_for_nothing_does_no_harm(market: Market, node: Node) -> None:
    market.node("a")
    market.place()
    market.clear()
    [unit] = units(market)
    assert node.runner.run(unit) == UnitReport(1, 1, 0)
    assert node.runner.run(unit) == UnitReport(0, 0, 0)
    assert node.runner.run(UnitId(uuid4())) == UnitReport(0, 0, 0)


def test_an_item_that_fails_is_given_back_with_its_reason_and_the_others_count(market: Market, node: Node) -> None:
    market.node("a")
    market.place(requests=[request((1.0, 2.0)), request((3.0, 4.0))], workload="batch")
    market.clear()
    [unit] = units(market)
    change(market, "UPDATE work_items SET inputs = '{\"inputs\": []}' WHERE id = (SELECT id FROM work_items LIMIT 1)")
    assert node.runner.run(unit) == UnitReport(claimed=2, committed=1, failed=1)
    [(state, error)] = rows(market, "SELECT state, error FROM work_items WHERE error IS NOT NULL")
    assert state == "queued"
    assert "'x' is missing" in str(error)


def test_a_model_with_another_checksum_is_refused_and_the_reason_is_recorded(
    market: Market, node: Node, tmp_path: Path
) -> None:
    market.node("a")
    market.place()
    market.clear()
    forged = write_doubling(tmp_path / "forged.onnx", factor=3.0)
    [stored] = (market.app.folder / "objects").rglob("*.onnx")
    stored.write_bytes(forged.read_bytes())
    [unit] = units(market)
    assert node.runner.run(unit) == UnitReport(claimed=1, committed=0, failed=1)
    [(error,)] = rows(market, "SELECT error FROM work_items")
    assert "sha256" in str(error)
    assert market.model.ref.checksum in str(error)


def test_what_a_node_cannot_begin_goes_back_without_an_attempt_and_runs_once_it_can(
    market: Market, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparing, "AWAY_S", 0.0)
    monkeypatch.setattr(loaded_models, "REFUSAL_S", 0.0)
    market.node("a")
    [order] = market.place(requests=[request((1.0, 2.0)), request((3.0, 4.0))], workload="batch")
    market.clear()
    [unit] = units(market)
    subscription = market.app.bus.subscribe([Topic.UNITS_READY])
    connected(subscription)
    with disk_away(tmp_path / "cache"):
        assert node.runner.run(unit) == UnitReport(claimed=2, committed=0, failed=0, handed_back=2)
        assert [event.topic for event in subscription.wait(PATIENCE_S)] == [Topic.UNITS_READY]
        subscription.close()
        for _ in range(ATTEMPTS_MAX):
            sweeper.sweep(market.app.uow(), utc_now())
            assert units(market) == [unit], "it is sent again at once"
            assert node.runner.run(unit).handed_back == 2
    assert rows(market, "SELECT state, attempt, error FROM work_items") == [("queued", 0, None)] * 2
    assert rows(market, "SELECT kind FROM trust_events") == [], "nor does it speak against the node"
    assert node.runner.run(unit) == UnitReport(2, 2, 0)
    market.settle()
    assert market.show(order).state == OrderState.SETTLED


def test_a_node_that_never_can_does_not_keep_its_work_for_ever(
    market: Market, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparing, "AWAY_S", 0.0)
    monkeypatch.setattr(sparing, "SPARED_MAX", 2)
    market.node("a")
    market.place()
    market.clear()
    [unit] = units(market)
    with disk_away(tmp_path / "cache"):
        reports = [node.runner.run(unit) for _ in range(3)]
    assert [(report.handed_back, report.failed) for report in reports] == [(1, 0), (1, 0), (0, 1)]
    [(state, attempt, error)] = rows(market, "SELECT state, attempt, error FROM work_items")
    assert (state, attempt) == ("queued", 1)
    assert "cannot be fetched" in str(error)
    assert str(tmp_path) not in str(error), "paths are not the customer's business"


def test_items_that_were_lost_meanwhile_are_not_handed_back(
    market: Market, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparing, "AWAY_S", 0.0)
    market.node("a")
    market.place()
    market.clear()
    [unit] = units(market)
    release = node.port.release

    def late(held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        change(market, "UPDATE work_items SET fence = fence + 1")
        return release(held)

    monkeypatch.setattr(node.port, "release", late)
    with disk_away(tmp_path / "cache"):
        report = node.runner.run(unit)
    assert (report.handed_back, report.lost) == (0, 1)
    assert rows(market, "SELECT state, attempt FROM work_items") == [("running", 1)]


@pytest.mark.parametrize(("bound", "value", "most"), [("COMMIT_ITEMS_MAX", 7, 7), ("COMMIT_BYTES_MAX", 1_000, 20)])
def test_results_are_committed_in_groups_of_bounded_size_and_age(
    market: Market, node: Node, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, most: int
) -> None:
    monkeypatch.setattr(outcomes, "COMMIT_EVERY_S", 1e9)
    monkeypatch.setattr(outcomes, bound, value)
    sizes: list[int] = []
    commit = node.port.commit

    def counted(results: Sequence[ItemResult]) -> set[ItemId]:
        sizes.append(len(results))
        return commit(results)

    monkeypatch.setattr(node.port, "commit", counted)
    market.node("a")
    market.place(requests=[request((1.0, 2.0))] * 120, workload="batch", tier="medium")
    market.clear()
    for unit in units(market):
        node.runner.run(unit)
    assert 1 < max(sizes) <= most
    assert sum(sizes) == 120


def test_what_is_done_is_committed_long_before_a_slow_unit_ends(
    market: Market, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "COMMIT_EVERY_S", 0.0)
    market.node("a")
    market.place(requests=[request((1.0, 2.0))] * 8, workload="batch")
    market.clear()
    [unit, *_] = units(market)
    with Halt(node, monkeypatch, free=3).in_the_middle(lambda: node.runner.run(unit)):
        assert rows(market, "SELECT count(*) FROM work_items WHERE state = 'committed'") == [(3,)]


def test_claims_of_an_item_that_takes_longer_than_a_claim_are_kept(
    market: Market, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.node("a")
    [order] = market.place()
    market.clear()
    [unit] = units(market)
    with Halt(node, monkeypatch).in_the_middle(lambda: node.runner.run(unit)):
        for _ in range(2):
            change(market, "UPDATE work_items SET claimed_until = clock_timestamp() + interval '0.01 s'")
            until(lambda: rows(market, "SELECT 1 FROM work_items WHERE claimed_until > now() + '1 s'"), "it is kept")
            node.beat()
            sweeper.sweep(market.app.uow(), utc_now())
    assert rows(market, "SELECT state, attempt FROM work_items") == [("committed", 1)]
    market.settle()
    assert market.show(order).state == OrderState.SETTLED


def test_an_item_lost_to_another_is_dropped_and_only_the_others_are_sent(
    market: Market, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.node("a")
    market.place(requests=[request((1.0, 2.0))] * 3, workload="batch")
    market.clear()
    [unit, *_] = units(market)
    reports: list[UnitReport] = []
    last = "(SELECT id FROM work_items WHERE state = 'running' ORDER BY id DESC LIMIT 1)"
    with Halt(node, monkeypatch).in_the_middle(lambda: reports.append(node.runner.run(unit))):
        change(market, f"UPDATE work_items SET fence = fence + 1 WHERE id = {last}")
    [report] = reports
    assert report.lost == 1
    assert report.committed == report.claimed - 1


def test_a_node_that_nobody_knows_gets_nothing(market: Market, node: Node) -> None:
    market.node("a", pool="other")
    market.executor("other")
    market.place()
    market.clear()
    [unit] = units(market)
    assert node.runner.run(unit) == UnitReport(0, 0, 0)


def test_a_commit_wakes_the_settlement(market: Market, node: Node) -> None:
    market.node("a")
    market.place()
    market.clear()
    subscription = market.app.bus.subscribe([Topic.WORK_COMMITTED])
    connected(subscription)
    [unit] = units(market)
    node.runner.run(unit)
    assert [event.topic for event in subscription.wait(PATIENCE_S)] == [Topic.WORK_COMMITTED]
    subscription.close()


def test_a_short_outage_of_the_database_costs_nothing(
    market: Market, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.node("a")
    [order] = market.place()
    market.clear()
    commit, failures = node.port.commit, iter([ConnectionError("away"), ConnectionError("away")])

    def flaky(results: list[ItemResult]) -> object:
        for failure in failures:
            raise failure
        return commit(results)

    monkeypatch.setattr(node.port, "commit", flaky)
    [unit] = units(market)
    assert node.runner.run(unit).committed == 1
    market.settle()
    assert market.show(order).state == OrderState.SETTLED


def test_a_unit_whose_results_cannot_be_sent_raises_and_is_run_again_by_another(
    market: Market, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_results: list[ItemResult]) -> object:
        raise ConnectionError("away")

    market.node("a")
    [order] = market.place()
    market.clear()
    [unit] = units(market)
    monkeypatch.setattr(node.port, "commit", away)
    with pytest.raises(ConnectionError):
        node.runner.run(unit)
    other = Node(market, tmp_path)
    change(market, "UPDATE work_items SET claimed_until = clock_timestamp()")
    deadline = time.monotonic() + PATIENCE_S
    while market.show(order).state != OrderState.SETTLED and time.monotonic() < deadline:
        other.beat()
        sweeper.sweep(market.app.uow(), utc_now())
        for again in units(market):
            other.runner.run(again)
        market.settle()
        time.sleep(0.1)
    assert market.show(order).state == OrderState.SETTLED
    assert rows(market, "SELECT attempt FROM work_items") == [(2,)]
