"""The command line itself: help, usage, exit codes and forms of failure; no verb gets as far as a server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from backend.cli import main
from backend.cli.entry import app

HEAVY = {"sqlalchemy", "redis", "celery", "pydantic_settings", "onnxruntime", "sklearn", "skl2onnx", "httpx", "alembic"}
VERBS = {
    *(
        "demo",
        "init",
        "up",
        "down",
        "api",
        "grpc",
        "doctor",
        "deposit",
        "offer",
        "infer",
        "price list",
        "backup",
        "restore",
    ),
    *("account create", "account list", "account show", "breaker list"),
    *("key create", "key list", "key revoke", "key limits"),
    *("node register", "node list", "node show", "node drain", "node login", "model register", "model list"),
    *(
        f"model {verb}"
        for verb in ("show", "search", "alias", "tag", "stage", "delete", "restore", "upload", "download")
    ),
    *(f"agents {verb}" for verb in ("list", "show", "scale", "policy", "drain", "restart", "logs", "top")),
    *("agents add", "agents set", "agents remove"),
    *("alerts list", "alerts show", "alerts ack", "alerts test"),
    *("fact list", "fact get", "fact set", "fact delete", "resource list", "resource release"),
    *("joint list", "joint show", "joint cancel", "joint audit"),
    *("node join", "node token create", "node token list", "node token revoke", "node key revoke"),
    *(f"node sealing-key {verb}" for verb in ("list", "show", "verify", "revoke", "mine")),
    *("node external add", "node external list", "node external check", "node external remove"),
    *("order place", "order show", "order list", "order cancel"),
    *("batch submit", "batch list", "batch show", "batch cancel", "batch results"),
    *(f"train {verb}" for verb in ("submit", "quote", "status", "list", "watch", "cancel", "rounds")),
    *("train download", "train plot", "train trainers"),
    *("file list", "file upload", "file delete"),
    *("org create", "org list", "org show", "org add", "org remove", "org key"),
    *("budget set", "budget list", "budget end", "budget alerts"),
    *("meter add", "meter list", "meter price", "meter prices", "meter rerate"),
    *("usage import", "usage list", "usage show", "usage void", "fee list", "fee set"),
    *("tier list", "tier show", "tier set"),
    *("market simulate", "market replay", "region list", "region link", "region unlink"),
    *("trust show", "trust list", "trust check"),
    *("queue depth", "queue peek", "queue purge"),
    *("queue dead list", "queue dead show", "queue dead retry", "queue dead drop"),
    *("market prices", "market history", "market depth", "market book", "market rules list", "market rules set"),
    "market rules reset",
    *("invoice draft", "invoice run", "invoice list", "invoice show", "invoice export", "invoice finalise"),
    *("invoice pay", "invoice void", "invoice credit", "invoice earnings", "invoice requests"),
    *(
        "payout request",
        "payout list",
        "payout show",
        "payout approve",
        "payout post",
        "payout reject",
        "payout cancel",
    ),
    *("dispute open", "dispute list", "dispute show", "dispute uphold", "dispute reject", "sla list", "sla show"),
    *("ledger audit", "ledger show", "ledger statement", "ledger reverse", "ledger fund", "ledger refund", "log list"),
}


def commands() -> Iterator[tuple[str, object]]:
    """Every verb with its command."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    yield from _below(root)


def _below(group: TyperGroup, noun: str = "") -> Iterator[tuple[str, object]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _below(command, f"{noun}{name} ")
        else:
            yield f"{noun}{name}", command


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that does not exist, and a terminal that is wide enough for any path."""
    for name in ("SWARMEX_DATABASE_URL", "SWARMEX_REDIS_URL", "SWARMEX_KEY", "SWARMEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(tmp_path / "nowhere"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "nowhere"


def test_all_verbs_are_there() -> None:
    assert {name for name, _ in commands()} == VERBS


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_every_verb_has_an_example_and_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--json" in shown
    head, _, examples = shown.partition("Examples")
    assert f"swarmex {verb}" in examples
    assert f"swarmex {verb}" in head


def test_no_arguments_print_the_help_and_exit_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(verb.split()[0] in shown for verb in VERBS)


def test_a_noun_alone_prints_its_verbs_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["order"]) == 2
    shown = capsys.readouterr()
    assert "cancel" in shown.out
    assert shown.err == ""


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("swarmex 0.")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("frobnicate", "No such command"),
        ("order lst", "Did you mean 'list'?"),
        ("key create", "ACCOUNT"),
        ("order list --state asleep", "asleep"),
        ("price list --speed", "--speed"),
        ("node register a --account b --class toaster --region c", "toaster"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_to_do(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err
    assert "--help" in shown.err


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("market rules set", "`swarmex market rules set --help`"),
        ("tier set small --slots x", "`swarmex tier set --help`"),
        ("frobnicate", "`swarmex --help`"),
        ("agents frobnicate", "`swarmex agents --help`"),
        ("queue dead frobnicate", "`swarmex queue dead --help`"),
        ("fact list --limit x", "`swarmex fact list --help`"),
        ("up --speed 1", "`swarmex up --help`"),
    ],
)
def test_wrong_usage_names_the_very_verb(line: str, step: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert step in capsys.readouterr().err


def test_wrong_usage_says_nothing_of_what_found_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tier", "show", "giant"]) == 2
    assert "Invalid value for 'TIER': 'giant' is not one of" in capsys.readouterr().err


def test_wrong_usage_with_json_is_one_document_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deposit", "acme", "--json"]) == 2
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert (error["code"], error["field"]) == ("usage", "amount")
    assert "swarmex deposit --help" in error["next"]
    assert shown.err == ""


@pytest.mark.parametrize("line", ["order list", "ledger audit", "account show acme", "node list"])
def test_a_folder_without_a_market_is_refused_and_not_made(
    line: str, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*line.split(), "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["field"]) == ("not_initialised", "SWARMEX_DATA_FOLDER")
    assert str(nowhere) in error["message"]
    assert "swarmex init" in error["next"]
    assert not nowhere.exists()


def test_a_failure_on_standard_error_names_field_accepted_and_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deposit", "acme", "1e5", "--reference", "r"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split()[0] for line in shown.err.splitlines()] == ["error:", "field:", "accepted:", "next:"]


def test_a_setting_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWARMEX_API_PORT", "eighty")
    assert main(["doctor", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["field"]) == ("invalid_setting", "SWARMEX_API_PORT")


def test_down_where_nothing_runs_says_so(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert capsys.readouterr().out.startswith("Nothing ran")
    assert not nowhere.exists()


def test_doctor_where_nothing_is_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 1
    findings = {f["what"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["data folder"]["verdict"] == "wrong"
    assert "swarmex init" in findings["data folder"]["do"]
    assert findings["servers"]["verdict"] == "wrong"


def test_infer_without_a_key_is_refused_before_anything_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "digits", "--input", "-", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["field"] == "SWARMEX_KEY"


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from backend.cli import main; main(['order', 'place', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.splitlines()[-1].split()) == set()
