"""`swarmex batch` and `swarmex file`: from a file of requests to a file of answers."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.bootstrap import utc_now
from backend.services import batch_run
from tests.integration.cli.runner import Cli
from tests.integration.services.batching import Batching, line, lines
from tests.market import Market
from tests.onnx_files import request
from tests.waiting import PATIENCE_S

TURN_S = 0.02


@pytest.fixture
def batching(market: Market, tmp_path: Path) -> Batching:
    """A market with a node that takes batches."""
    market.node("a", slots=4)
    return Batching(market, tmp_path)


@pytest.fixture
def working(batching: Batching) -> Iterator[None]:
    """Batches are worked on, cleared, executed and settled, beside the test."""
    stopped, market = threading.Event(), batching.market
    executor = market.executor()

    def keep_working() -> None:
        while not stopped.wait(TURN_S):
            batch_run.work(market.app.uow, utc_now(), batching.objects)
            executor.beat()
            market.run(executor)

    thread = threading.Thread(target=keep_working, daemon=True)
    thread.start()
    yield
    stopped.set()
    thread.join(PATIENCE_S)


def file_of(folder: Path, *content: str) -> Path:
    """A file with these lines."""
    path = folder / "requests.jsonl"
    path.write_text("\n".join(content))
    return path


@pytest.mark.usefixtures("working")
def test_a_file_is_submitted_waited_for_and_its_answers_written(cli: Cli, tmp_path: Path) -> None:
    path = file_of(tmp_path, *lines(3))
    done = cli.run("batch", "submit", path, "--account", "buyer", "--wait", "--json")
    assert done.code == 0, done.out
    batch = done.document
    assert (batch["status"], batch["request_counts"]) == ("completed", {"total": 3, "completed": 3, "failed": 0})
    assert [shown["id"] for shown in cli.json("batch", "list", "--account", "buyer")] == [batch["id"]]
    assert cli.json("batch", "show", batch["id"])["charged"] == batch["charged"] != "0.000000000"
    answers = tmp_path / "answers.jsonl"
    done = cli.run("batch", "results", batch["id"], "--output", answers, "--json")
    assert (done.code, done.document["bytes"]) == (0, answers.stat().st_size)
    assert [json.loads(row)["custom_id"] for row in answers.read_text().splitlines()] == ["r-0", "r-1", "r-2"]
    assert cli.refused("batch", "results", batch["id"], "--errors", "--output", answers) == (
        "unknown_error_file",
        "batch",
    )
    assert cli.refused("batch", "cancel", batch["id"]) == ("batch_ended", "batch_id")
    kept = cli.json("file", "list", "--account", "buyer")
    assert [file["purpose"] for file in kept] == ["batch_output", "batch"]
    assert cli.run("file", "delete", kept[0]["id"]).code == 0
    assert cli.refused("file", "delete", kept[0]["id"]) == ("unknown_file", "file_id")


@pytest.mark.usefixtures("working")
def test_wrong_lines_are_told_by_their_numbers_and_the_exit_code_says_so(cli: Cli, tmp_path: Path) -> None:
    path = file_of(tmp_path, line("a"), "{", line("a"))
    done = cli.run("batch", "submit", path, "--account", "buyer", "--wait")
    assert done.code == 1
    assert "invalid_json" in done.out
    done = cli.run("batch", "submit", path, "--account", "buyer", "--wait", "--json")
    assert done.code == 1
    assert [(e["line"], e["code"]) for e in done.document["errors"]] == [
        (2, "invalid_json"),
        (3, "duplicate_custom_id"),
    ]


def test_bodies_alone_get_their_model_and_options_become_the_batchs(
    cli: Cli, batching: Batching, tmp_path: Path
) -> None:
    path = file_of(tmp_path, json.dumps(request((1.0, 2.0))), "", json.dumps(request((3.0, 4.0))))
    asked = ("--account", "buyer", "--model", "doubling", "--tier", "small", "--max-budget", "0.5", "--window", "1h")
    batch = cli.run("batch", "submit", path, *asked, "--json").document
    assert batch["tier"] == "small"
    assert batch["metadata"]["swarmex_max_budget"] == "0.5"
    batching.work()
    assert cli.json("batch", "show", batch["id"])["request_counts"]["total"] == 2
    assert cli.json("batch", "cancel", batch["id"])["status"] == "cancelling"
    path.write_text("\n\n{}")
    wrong = cli.run("batch", "submit", path, *asked, "--json").document["id"]
    batching.work(rounds=6)
    assert [error["line"] for error in cli.json("batch", "show", wrong)["errors"]] == [3], "as in the file"
    path.write_text("{")
    assert cli.refused("batch", "submit", path, *asked) == ("invalid_input", "file")
    assert "line 1" in cli.run("batch", "submit", path, *asked).err


@pytest.mark.usefixtures("batching")
def test_what_cannot_be_is_refused_and_says_what_to_do_next(cli: Cli, tmp_path: Path) -> None:
    path = file_of(tmp_path, line("a"))
    assert cli.refused("batch", "submit", tmp_path / "none", "--account", "buyer") == ("invalid_file", "file")
    assert cli.refused("batch", "submit", path, "--account", "buyer", "--window", "2d") == (
        "invalid_completion_window",
        "completion_window",
    )
    _, field = cli.refused("batch", "submit", path, "--account", "buyer", "--webhook", "ftp://x")
    assert field == "metadata.swarmex_webhook"
    assert cli.run("file", "list", "--json").document == [], "what was refused left no file behind"
    assert cli.refused("batch", "show", "batch_nothing") == ("unknown_batch", "batch_id")
    uploaded = cli.run("file", "upload", path, "--account", "buyer", "--json").document
    assert (uploaded["filename"], uploaded["bytes"]) == ("requests.jsonl", path.stat().st_size)


def test_a_batch_for_which_there_are_no_machines_says_where_some_are(
    cli: Cli, batching: Batching, tmp_path: Path
) -> None:
    path = file_of(tmp_path, *lines(3))
    name = cli.json("batch", "submit", path, "--account", "buyer", "--region", "nroth")["id"]
    batching.work(rounds=3)
    shown = cli.json("batch", "show", name)
    assert shown["reason"] == "no_capacity"
    assert shown["reason_told"].endswith("in region nroth (accepted: north)")
    told = cli.run("batch", "show", name)
    assert "no_capacity" in told.out
    assert "registered in region nroth (accepted: north)." in " ".join(told.err.split())


def test_a_list_of_none_says_what_to_do_next(cli: Cli) -> None:
    done = cli.run("batch", "list")
    assert (done.code, "none" in done.out) == (0, True)
    assert "swarmex batch submit FILE --account ACCOUNT" in done.err
    assert cli.json("batch", "list") == []


def test_how_far_a_batch_is_counts_what_ran_before_it_is_collected(cli: Cli, batching: Batching) -> None:
    market = batching.market
    executor, name = market.executor(), batching.submit(lines(4))
    assert cli.json("batch", "show", name)["progress"]["percent"] == 0.0
    assert "its lines are checked" in cli.run("batch", "show", name).out
    batching.work(rounds=2)
    executor.beat()
    market.clear()
    items = executor.claim(market.dispatched())
    executor.commit(items[:3])
    shown = cli.json("batch", "show", name)
    assert shown["request_counts"] == {"total": 4, "completed": 0, "failed": 0}
    assert (shown["progress"]["done"], shown["progress"]["percent"]) == (3, 75.0)
    assert shown["progress"]["requests_per_s"] > 0
    assert shown["progress"]["seconds_left"] is not None
    told = cli.run("batch", "show", name)
    assert " 75%" in told.out
    assert "charged so far" in told.out
    assert f"swarmex batch cancel {name}" in told.err
    listed = cli.run("batch", "list").out
    assert " 75%" in listed
    assert name in listed
    code, _ = cli.refused("batch", "results", name, "--output", batching.folder / "early.jsonl")
    assert code == "unknown_output_file"
    assert not (batching.folder / "early.jsonl").exists()


def test_an_ended_batch_says_where_its_answers_and_its_errors_are(
    cli: Cli, batching: Batching, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = batching.market
    monkeypatch.setattr("backend.services.batch_lines.ITEMS_PER_ORDER_MAX", 2)
    monkeypatch.setattr("backend.services.batch_placing.OPEN_ORDERS_MAX", 1)
    name, executor = batching.submit(lines(6)), market.executor()
    batching.run_until(name, executor, lambda view: view.batch.completed >= 2)
    batching.cancel(name)
    batching.run(name, executor)
    shown = cli.run("batch", "show", name)
    assert "--errors --output errors.jsonl" in shown.err
    assert "--output answers.jsonl" in shown.err
    assert "charged so far" not in shown.out


def test_metadata_is_shown_beside_the_facts_of_a_batch_and_takes_the_place_of_none(
    cli: Cli, batching: Batching
) -> None:
    name = batching.submit(lines(1), state="completed", run="\x1b[2J7", swarmex_tier="small", swarmex_slots="2")
    shown = [" ".join(line.split()) for line in cli.run("batch", "show", name).out.splitlines()]
    assert "state validating: its lines are checked; nothing is held or charged yet" in shown
    assert "metadata state completed" in shown
    assert r"metadata run \x1b[2J7" in shown
    assert [line for line in shown if "tier" in line or "slots" in line] == ["tier small", "slots 2"]


def test_more_batches_than_are_shown_are_mentioned(cli: Cli, batching: Batching) -> None:
    for _ in range(2):
        batching.submit(lines(1))
    assert "Only the newest 1 are shown" in cli.run("batch", "list", "--limit", 1).err
    assert "Only" not in cli.run("batch", "list").err
