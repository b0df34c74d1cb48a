"""What the benchmarks report can be relied on: a broken promise says so, and a program finds what it looks for."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.performance import registry, report
from tests.performance.pairs import measure
from tests.performance.rows import Row, Target


def row(value: float, ratio: float | None, target: Target | None) -> Row:
    return Row("name", value, "orders/s", "a peer", 100.0, ratio, target)


@pytest.mark.parametrize(
    ("target", "ok"),
    [
        (Target("ratio", "≥", 1.0), False),
        (Target("ratio", "≤", 1.0), True),
        (Target("value", "≥", 50.0), True),
        (Target("value", "≤", 49.0), False),
        (None, True),
    ],
)
def test_a_row_is_ok_when_it_keeps_its_promise_or_makes_none(target: Target | None, ok: bool) -> None:
    assert row(50.0, 0.5, target).ok is ok


def test_a_promise_about_a_ratio_is_broken_where_there_is_none() -> None:
    assert not row(50.0, None, Target("ratio", "≤", 1.0)).ok


def test_the_ratio_is_that_of_pairs_and_the_first_round_does_not_count() -> None:
    ours = iter([1_000.0, 10.0, 20.0, 300.0])
    reference = iter([1.0, 5.0, 10.0, 100.0])
    pairs = measure(lambda: next(ours), lambda: next(reference), lambda: None, rounds=3)
    assert (pairs.value, pairs.reference_value, pairs.ratio) == (20.0, 10.0, 2.0)


def test_the_figures_are_written_as_a_list_of_objects_with_every_field(tmp_path: Path) -> None:
    report.write_json([row(123.456, 1.23456, Target("ratio", "≥", 1.0))], tmp_path / "build" / "benchmarks.json")
    assert json.loads((tmp_path / "build" / "benchmarks.json").read_text()) == [
        {
            "name": "name",
            "value": 123.5,
            "unit": "orders/s",
            "reference": "a peer",
            "reference_value": 100.0,
            "ratio": 1.235,
            "target": "ratio ≥ 1",
            "ok": True,
        }
    ]


def test_one_benchmark_alone_replaces_its_own_figures_only(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    report.write_json([replace(row(1.0, 1.0, None), name=name) for name in ("first", "second")], path)
    report.write_json([replace(row(2.0, 1.0, None), name="first")], path, keep_others=True)
    assert [(one["name"], one["value"]) for one in json.loads(path.read_text())] == [("first", 2.0), ("second", 1.0)]
    report.write_json([row(3.0, 1.0, None)], path)
    assert [one["name"] for one in json.loads(path.read_text())] == ["name"]


def test_every_module_among_the_benchmarks_is_one_and_says_what_it_measures() -> None:
    names = registry.names()
    assert {"dispatch", "order_path", "place_batch", "gateway", "statements_per_batch"} <= set(names)
    for name in names:
        benchmark = registry.find(name)
        assert benchmark.about
        assert callable(benchmark.run)
