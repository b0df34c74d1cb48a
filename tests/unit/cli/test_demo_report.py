"""What the demo plans, counts and shows."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from backend.cli.demo.digits import HELD_OUT, PIXELS, Digits
from backend.cli.demo.federated import Trained
from backend.cli.demo.rendering import document, shown
from backend.cli.demo.report import Line, Report, Training
from backend.cli.demo.workload import REAL_TIME_TIERS, count_right, plan
from backend.domain.ids import AccountId
from backend.domain.organisations import AccountType
from backend.domain.tiers import TierName
from backend.services.accounts import AccountView
from backend.services.audit import AuditReport
from backend.storage.audit import Difference
from backend.storage.ids import new_id

DIGITS = Digits(Path("digits.onnx"), np.zeros((HELD_OUT, PIXELS), np.float32), np.arange(HELD_OUT, dtype=np.int64) % 10)
OUTPUT = "label"


def line(**changes: object) -> Line:
    """What an order got."""
    one = Line(
        "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
        "enterprise",
        "inference",
        "south",
        "server-south",
        260_000_000,
        10,
        [1234.5],
        1_234_567_890,
        "settled",
        None,
        10,
    )
    return replace(one, **changes)  # type: ignore[arg-type]  # a test's own words


def report(lines: list[Line], *differences: Difference) -> Report:
    """A run with these lines."""
    nano, now = 1_234_567_890_123, datetime.now(UTC)
    account = AccountView(
        AccountId(new_id()), "demo-company", nano, 0, 0, nano, now, AccountType.PERSON, 0, exhausted_in_s=None
    )
    accounts = {"demo-company": account}
    audit = AuditReport(8, 80, 39, differences)
    return Report(lines, sum(line.images for line in lines), accounts, accounts, {}, 1, audit, [], 12.3)


def trained(accuracy: float = 0.95, right: int = 19, **changes: object) -> Report:
    """The same, and nodes trained a model, which then was asked."""
    one = Trained("train_1", 24, [0.8, accuracy], {"a": 100, "b": 200}, None, right, 20)
    parts = [line(order=order, kind="training", charged_nano=12, right=0, **changes) for order in one.orders]
    served = line(order="c", kind="real-time", images=20, right=right)
    return replace(report([line()]), training=Training(one, parts, served))


def drawn(made: Report) -> list[str]:
    """The report on a terminal of 100 columns."""
    console = Console(width=100, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(shown(made))
    return capture.get().splitlines()


def answer(*labels: int) -> dict[str, object]:
    """A protocol response that says so."""
    return {"outputs": [{"name": OUTPUT, "data": list(labels)}]}


def test_every_held_out_image_is_asked_for_exactly_once() -> None:
    tasks, real_time = plan(DIGITS)
    used = [image for some in tasks.values() for task in some for image in task.images]
    used += [image for images in real_time.values() for image in images]
    assert sorted(used) == list(range(HELD_OUT))
    assert set(tasks) == set(TierName)
    assert set(real_time) == set(REAL_TIME_TIERS)


def test_the_images_of_a_task_are_those_in_its_requests() -> None:
    images = np.arange(HELD_OUT, dtype=np.float32).repeat(PIXELS).reshape(HELD_OUT, PIXELS)
    tasks, _ = plan(replace(DIGITS, images=images))
    for task in [task for some in tasks.values() for task in some]:
        rows = [body["inputs"][0]["data"][::PIXELS] for body in task.workload["requests"]]
        assert [pixel for row in rows for pixel in row] == task.images


def test_a_request_without_an_answer_does_not_shift_those_after_it() -> None:
    results: list[dict[str, object]] = [
        {"rows": 1, "response": answer(0)},
        {"rows": 2, "response": None},
        {"rows": 2, "response": answer(3, 9)},
    ]
    assert count_right(results, [0, 1, 2, 3, 4], DIGITS) == 2


def test_the_tables_fit_100_columns() -> None:
    lines = drawn(report([line(), line(tier="medium", kind="real-time")]))
    assert max(map(len, lines)) <= 100
    assert any("server-south" in row and "1234 ms" in row for row in lines)


def test_a_good_run_has_no_problems_and_its_audit_is_told() -> None:
    made = report([line()])
    assert made.problems == []
    assert any(row.startswith("ledger audit: OK") for row in drawn(made))
    assert document(made)["accuracy"] == 1.0


def test_what_nodes_learned_together_is_shown_with_the_receipt_of_its_first_use() -> None:
    shown_lines = drawn(trained())
    assert max(map(len, shown_lines)) <= 100
    assert any("80.0% → 95.0%" in row for row in shown_lines)
    assert any("0.000000024 credits for 2 updates" in row for row in shown_lines)
    assert any("order c, settled, 1.234567890 credits" in row for row in shown_lines)
    told = document(trained())
    assert told["problems"] == []
    assert (told["accuracy"], told["training"]["orders"]) == (1.0, ["a", "b"])
    assert [one["id"] for one in told["orders"]][1:] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (trained(accuracy=0.5), "train_1 came to 50.0%"),
        (trained(right=3), "right on 3 of 20 images only"),
        (report([line(right=9)]), "accuracy is 90.0%"),
        (report([line(state="expired", reason="no_capacity")]), "expired: no_capacity"),
        (report([line(state="failed")]), "no reason is recorded"),
        (report([line()], Difference("wallet balance", None, 1, 2)), "1 differences"),
    ],
)
def test_what_is_not_as_it_should_be_is_a_problem(made: Report, told: str) -> None:
    [problem] = made.problems
    assert told in problem
    assert document(made)["problems"] == [problem]
