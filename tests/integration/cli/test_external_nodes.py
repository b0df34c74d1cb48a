"""`swarmex node external`: servers by their URLs, as an operator adds, sees, checks and removes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api.impostor import READY, Impostor
from tests.integration.api.supply import write_model
from tests.integration.cli.runner import Cli

ADD = ("node", "external", "add", "triton", "--account", "acme", "--class", "cloud", "--region", "eu-1")
SECRET = "hush-7f3a"


@pytest.fixture
def impostor(cli: Cli) -> Iterator[Impostor]:
    """A server that is ready, with the account whose node it is to be."""
    cli.json("account", "create", "acme")
    with Impostor() as server:
        yield server


def test_a_server_is_added_listed_checked_and_removed(cli: Cli, impostor: Impostor, tmp_path: Path) -> None:
    token = tmp_path / "token.txt"
    token.write_text(f"{SECRET}\n")
    cli.json("model", "register", "scale", str(write_model(tmp_path / "scale.onnx")))
    done = cli.run(*ADD, "--url", impostor.url, "--slots", 8, "--header-file", str(token))
    assert done.code == 0, done.out
    assert "kept, never shown" in done.out
    assert "Next: `swarmex offer triton CREDITS`." in done.err
    assert impostor.authorizations == {f"Bearer {SECRET}"}

    [listed] = cli.json("node", "external", "list", "--account", "acme")
    assert (listed["url"], listed["state"], listed["has_credential"]) == (impostor.url, "new", True)
    assert listed["node"]["slots"] == 8
    shown = cli.run("node", "external", "list")
    assert "Nobody has asked them yet: `swarmex up`" in shown.err

    checked = cli.json("node", "external", "check", "triton")
    assert checked["ready"] is True
    assert checked["models"] == [{"model": "scale", "version": 1, "why_not": None}]
    impostor.answers.pop("/v2/models/scale/versions/1")
    told = cli.run("node", "external", "check", "triton")
    assert "no such model or version" in told.out
    assert "It serves none of the 1 registered models" in told.err
    impostor.answers[READY] = (503, b"")
    told = cli.run("node", "external", "check", "triton")
    assert "answered 503" in told.out + told.err
    assert "It sells nothing until it is." in told.err

    assert cli.json("node", "external", "remove", "triton")["state"] == "draining"
    assert cli.json("node", "external", "list") == []
    assert SECRET not in done.out + done.err + str(listed) + shown.out + told.out


def test_a_server_is_offered_at_once_where_a_price_is_said(cli: Cli, impostor: Impostor) -> None:
    made = cli.json(*ADD, "--url", impostor.url, "--ask", "0.002")
    assert made["node"]["ask"] == "0.002000000"
    assert [entry["name"] for entry in cli.json("agents", "show")] == ["external"], "somebody is to stand for it"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--url", "gpu-1"), "http://host:port or https://host"),
        (("--url", "http://gpu-1:1", "--header-file", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("--url", "http://gpu-1:1", "--ask", "-1"), "ask"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(
    cli: Cli, impostor: Impostor, arguments: tuple[str, ...], told: str
) -> None:
    done = cli.run(*ADD, *arguments)
    assert done.code != 0
    assert told in " ".join((done.out + done.err).split())
    assert cli.json("node", "external", "list") == []


def test_a_node_that_is_no_server_says_what_makes_one(cli: Cli, impostor: Impostor) -> None:
    cli.json("node", "register", "rack", "--account", "acme", "--class", "fog", "--region", "north")
    for verb in ("check", "remove"):
        done = cli.run("node", "external", verb, "rack")
        assert done.code == 1
        assert "swarmex node external add" in " ".join((done.out + done.err).split())
