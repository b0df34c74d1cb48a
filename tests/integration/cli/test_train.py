"""`swarmex train`: a job from its quote to its plot, as an operator sees it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from rich.console import Console

from backend.bootstrap import utc_now
from backend.cli import train_watch
from backend.domain.federated.states import EndReason, JobState
from backend.services import trainers
from backend.storage.nodes import Node
from tests.integration.cli.runner import Cli, Done
from tests.market import Market
from tests.training import FACTS, TRAINER, aggregated, asked, begin, content, ended

SUBMIT = ("train", "submit", TRAINER, "--account", "buyer", "--participants", "1")


@pytest.fixture(autouse=True)
def node(market: Market) -> Node:
    """There is a trainer, and a node that lives for the next seconds."""
    trainers.announce(market.app.uow(), utc_now(), [FACTS])
    made = market.node("a")
    market.executor()
    return made


@pytest.fixture
def job(market: Market) -> str:
    """A job with two rounds behind it, of one that is lost in between."""
    name = begin(market.app, market.buyer)
    aggregated(market.app, name, 0.5, epsilon=0.7)
    aggregated(market.app, name, 0.625, epsilon=1.0)
    return name


def watched(cli: Cli, monkeypatch: pytest.MonkeyPatch, turn: Callable[[], object], *arguments: object) -> Done:
    """A command line that watches a job, with something happening while it waits."""
    monkeypatch.setattr(train_watch, "pause", turn)
    return cli.run(*arguments)


def test_a_job_is_quoted_submitted_and_told_as_over_http(cli: Cli) -> None:
    quote = cli.json("train", "quote", TRAINER, "--participants", "1", "--rounds", "3")
    assert (quote["rounds"], quote["participants"], quote["markets"]) == (3, 1, ["fog/north"])
    assert 0 < float(quote["expected_cost"]) <= float(quote["worst_case"])
    made = cli.json(*SUBMIT, "--max-budget", "5", "--target", "accuracy=0.9", "--config", "hidden=8")
    assert (made["state"], made["max_budget"], made["best"]["metric"]) == ("selecting", "5.000000000", "accuracy")
    assert (made["participants_min"], made["open_round"], made["webhook"]) == (1, None, None)
    assert cli.json("train", "status", made["id"]) == made
    assert [one["id"] for one in cli.json("train", "list", "--account", "buyer")] == [made["id"]]
    told = cli.run("train", "status", made["id"])
    assert "nodes are chosen" in told.out
    assert f"swarmex train watch {made['id']}" in told.err


def test_how_far_a_job_is_and_who_is_at_work(cli: Cli, market: Market, node: Node, job: str) -> None:
    asked(market.app, job, [node.id])
    shown = cli.json("train", "status", job)
    assert (shown["state"], shown["rounds_done"], shown["open_round"]["asked"]) == ("running", 2, 1)
    assert shown["best"] == {"metric": "accuracy", "value": 0.625, "round": 2}
    told = cli.run("train", "status", job).out
    assert "2/3" in told
    assert "1 asked" in told
    assert "accuracy 0.625 after round 2" in told
    first, _, third = cli.json("train", "rounds", job)
    assert (first["state"], first["metrics"]["accuracy"], third["state"]) == ("aggregated", 0.5, "open")
    table = cli.run("train", "rounds", job).out
    assert all(word in table for word in ("accuracy", "0.625", "ε", "aggregated", "open"))
    [one] = cli.json("train", "rounds", job, "--participants", "3")
    assert (one["node_name"], one["state"]) == ("a", "asked")
    assert "asked" in cli.run("train", "rounds", job, "--participants", "3").out
    assert cli.refused("train", "rounds", job, "--participants", "4") == ("unknown_training_round", "number")


def test_watching_ends_with_the_job_and_its_exit_code_says_how(
    cli: Cli, market: Market, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end() -> None:
        ended(market.app, job, JobState.FAILED, EndReason.NO_QUORUM)

    done = watched(cli, monkeypatch, end, "train", "watch", job, "--json")
    assert (done.code, done.document["state"], done.document["reason"]) == (1, "failed", "no_quorum")
    assert "swarmex train rounds" in cli.run("train", "status", job).err, "what to do about it"

    done = cli.run("train", "watch", job)
    assert (done.code, "no_quorum" in done.out) == (1, True), "one that has ended is told at once"


def test_a_submitted_job_can_be_watched_to_its_end(cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:

    def finish() -> None:
        with market.app.uow() as uow:
            [made] = uow.training_jobs.page(None, 1, None)
        name = f"train_{made.id.hex}"
        aggregated(market.app, name, 0.9)
        ended(market.app, name, JobState.DONE, EndReason.TARGET_REACHED)

    done = watched(cli, monkeypatch, finish, *SUBMIT, "--watch", "--json")
    assert (done.code, done.document["state"], done.document["rounds_done"]) == (0, "done", 1)
    assert done.err == ""


def test_ctrl_c_leaves_the_job_running_and_says_so(cli: Cli, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    done = watched(cli, monkeypatch, interrupt, "train", "watch", job)
    assert done.code == 130
    assert f"swarmex train cancel {job}" in done.err
    assert cli.json("train", "status", job)["ended_at"] is None


def test_bars_show_rounds_and_those_who_have_reported(cli: Cli, market: Market, node: Node, job: str) -> None:
    face, console = train_watch.Face(), Console(width=100, record=True)
    asked(market.app, job, [node.id])
    shown = cli.json("train", "status", job)
    console.print(face.draw(shown))
    told = console.export_text()
    assert "rounds" in told
    assert "2/3" in told
    assert "0/1" in told
    assert "best accuracy 0.625 after round 2" in told
    shown["open_round"] |= {"asked": 0, "reported": 1}
    console.print(face.draw(shown))
    assert "1/1" in console.export_text()


def test_weights_of_the_last_round_or_of_any_are_written_whole(cli: Cli, job: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    done = cli.json("train", "download", job, path)
    assert (path.read_bytes(), done["size_bytes"]) == (content(2), len(content(2)))
    assert cli.run("train", "download", job, path, "--round", "1").code == 0
    assert path.read_bytes() == content(1)
    assert [file.name for file in tmp_path.iterdir() if "weights" in file.name] == ["weights.safetensors"]
    assert cli.refused("train", "download", job, path, "--round", "3")[0] == "unknown_checkpoint"
    assert cli.refused("train", "download", job, path, "--onnx", "--round", "1") == ("invalid_round", "round")
    assert cli.refused("train", "download", job, tmp_path / "no" / "file") == ("invalid_output", "file")


def test_weights_that_are_not_those_that_were_kept_are_not_written(
    cli: Cli, market: Market, job: str, tmp_path: Path
) -> None:
    with market.app.uow() as uow:
        [made] = uow.training_jobs.page(None, 1, None)
    assert made.weights is not None
    market.app.objects.put(b"something else", made.weights.key)
    path = tmp_path / "weights.safetensors"
    assert cli.refused("train", "download", job, path) == ("checksum_mismatch", "checksum")
    assert not path.exists()


def test_the_model_that_came_of_a_job_is_written(cli: Cli, market: Market, job: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert cli.refused("train", "download", job, path, "--onnx") == ("unknown_result", "result")
    ended(market.app, job, JobState.DONE, EndReason.ROUNDS_DONE, market.model.ref.model_id)
    done = cli.json("train", "download", job, path, "--onnx")
    assert done["sha256"] == market.model.ref.checksum
    assert path.stat().st_size == done["size_bytes"] == market.model.size_bytes
    assert "--onnx" in cli.run("train", "status", job).err


def test_why_there_is_no_model_is_told(cli: Cli, market: Market, job: str, tmp_path: Path) -> None:
    ended(market.app, job, JobState.DONE, EndReason.ROUNDS_DONE, error="the trainer exports no ONNX")
    assert "the trainer exports no ONNX" in cli.run("train", "download", job, tmp_path / "x", "--onnx").err
    assert "the trainer exports no ONNX" in cli.run("train", "status", job).out


def test_metric_and_cost_are_drawn_round_by_round(cli: Cli, job: str, tmp_path: Path) -> None:
    path, other = tmp_path / "job.png", tmp_path / "other.png"
    assert cli.json("train", "plot", job, path)["rounds"] == 2
    picture: Any = imread(path)
    assert picture.shape[0] > 500
    assert picture.std() > 0.05, "something is drawn"
    assert cli.run("train", "plot", job, other).code == 0
    assert cli.refused("train", "plot", job, tmp_path / "no" / "job.png") == ("invalid_png", "png")
    assert cli.refused("train", "plot", "train_none", tmp_path / "none.png")[0] == "unknown_training_job"
    assert not (tmp_path / "none.png").exists()


def test_a_job_is_cancelled_and_cancelling_it_again_is_the_same(cli: Cli, job: str) -> None:
    for _ in range(2):
        assert cli.json("train", "cancel", job)["cancelling"] is True
    assert "cancelling" in cli.run("train", "list").out
    assert "about to end" in cli.run("train", "status", job).out


def test_a_job_that_has_ended_cannot_be_cancelled(cli: Cli, market: Market, job: str) -> None:
    ended(market.app, job, JobState.DONE, EndReason.ROUNDS_DONE)
    assert cli.refused("train", "cancel", job)[0] == "job_ended"


def test_trainers_are_listed_and_a_list_of_no_jobs_says_how_to_begin_one(cli: Cli) -> None:
    assert cli.json("train", "trainers") == [
        {"name": TRAINER, "description": FACTS.description, "metrics": ["accuracy", "loss"]}
    ]
    assert FACTS.description in cli.run("train", "trainers").out
    done = cli.run("train", "list")
    assert "none" in done.out
    assert "swarmex train submit TRAINER" in done.err


def test_what_cannot_be_is_refused_by_the_field_and_begins_nothing(cli: Cli) -> None:
    assert cli.refused(*SUBMIT[:2], "nobody", *SUBMIT[3:]) == ("unknown_trainer", "trainer")
    assert cli.refused(*SUBMIT, "--strategy", "magic") == ("invalid_strategy", "strategy")
    assert cli.refused(*SUBMIT, "--strategy", "krum") == ("too_few_participants", "participants_min")
    assert cli.refused(*SUBMIT, "--quorum", "2") == ("invalid_participants_min", "participants_min")
    assert cli.refused(*SUBMIT, "--webhook", "ftp://x") == ("invalid_webhook", "webhook")
    assert cli.refused(*SUBMIT, "--region", "moon") == ("no_capacity", "region")
    assert cli.json("train", "list") == []
