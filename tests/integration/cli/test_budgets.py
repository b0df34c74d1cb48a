"""Budgets and alerts from the command line."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from backend.domain.money import NANO_PER_CREDIT
from tests.integration.cli.runner import Cli
from tests.integration.services.earning import earn
from tests.market import Market
from tests.waiting import PATIENCE_S

OF_BUYER = ("--account", "buyer", "--period", "day")


def test_a_budget_is_set_listed_filled_and_ended(cli: Cli, market: Market) -> None:
    made = cli.json("budget", "set", "20", "--account", "buyer", "--period", "month", "--timezone", "Europe/Berlin")
    assert (made["amount"], made["used"], made["mode"]) == ("20.000000000", "0.000000000", "hard")
    earn(market, 17 * NANO_PER_CREDIT)
    [own] = [b for b in cli.json("budget", "list", "--account", "buyer") if b["account"]]
    assert (own["used"], own["left"], own["used_percent"]) == ("17.000000000", "3.000000000", 85.0)
    shown = cli.run("budget", "list", "--account", "buyer").out
    for part in (own["id"], f"resets {own['resets_at'][:10]}", "████████░░  85%", "month, small, everybody"):
        assert part in shown, part
    again = cli.json("budget", "set", "30", "--account", "buyer", "--period", "month", "--timezone", "Europe/Berlin")
    assert (again["id"], again["left"]) == (own["id"], "13.000000000")
    assert cli.json("budget", "end", own["id"])["id"] == own["id"]
    assert cli.refused("budget", "end", own["id"]) == ("unknown_budget", "budget")
    assert [b for b in cli.json("budget", "list", "--account", "buyer") if b["account"]] == []


def test_budgets_for_each_request_for_a_member_and_for_everybody_are_told_apart(cli: Cli, market: Market) -> None:
    market.organisation("lab", "ana", "ben")
    each = cli.json("budget", "set", "0.5", "--account", "lab", "--period", "request", "--tier", "large", "--soft")
    assert (each["used"], each["tier"], each["mode"], each["resets_at"]) == (None, "large", "soft", None)
    cli.json("budget", "set", "3", "--account", "lab", "--period", "day", "--member", "ana")
    cli.json("budget", "set", "2", "--account", "lab", "--period", "day", "--member", "ben")
    assert cli.json("budget", "set", "9", "--everyone", "--period", "day")["account"] is None
    cli.json("org", "remove", "lab", "ben")
    shown = cli.run("budget", "list", "--account", "lab").out
    for part in ("request, large, soft", "day, ana", "day, a former member", "day, everybody"):
        assert part in shown, part
    record = cli.run("budget", "set", "4", "--account", "lab", "--period", "day", "--timezone", "Asia/Tokyo").out
    assert "15:00 UTC" in record  # midnight there
    assert "all" in record


def test_alerts_tell_what_was_gone_over_and_whose_it_is(cli: Cli, market: Market) -> None:
    budget = cli.json("budget", "set", "20", "--account", "buyer", "--period", "month")
    assert cli.json("budget", "alerts") == []
    earn(market, 17 * NANO_PER_CREDIT)
    [alert] = cli.json("budget", "alerts", "--account", "buyer")
    assert (alert["kind"], alert["percent"], alert["subject"]) == ("budget", 80, budget["id"])
    assert (alert["used"], alert["limit"]) == ("17.000000000", "20.000000000")
    assert cli.json("budget", "alerts", "--account", "provider") == []
    assert budget["id"] in cli.run("budget", "alerts", "--account", "buyer").out
    assert str(market.buyer.account_id) in cli.run("budget", "alerts").out
    earn(market, 3 * NANO_PER_CREDIT)
    assert [a["percent"] for a in cli.json("budget", "alerts", "--limit", "2")] in ([100, 90], [90, 100])
    assert cli.refused("budget", "alerts", "--limit", "0") == ("invalid_limit", "limit")


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (("set", "1e3", *OF_BUYER), ("invalid_amount", "amount")),
        (("set", "0.0000000001", *OF_BUYER), ("invalid_amount", "amount")),
        (("set", "1", *OF_BUYER, "--everyone"), ("invalid_account", "account")),
        (("set", "1", "--period", "day"), ("invalid_account", "account")),
        (("set", "1", *OF_BUYER, "--timezone", "Mars"), ("invalid_timezone", "timezone")),
        (("set", "1", *OF_BUYER, "--member", "provider"), ("unknown_member", "member")),
        (("set", "1", *OF_BUYER, "--member", "nobody"), ("unknown_account", "account")),
        (("set", "1", "--everyone", "--period", "day", "--member", "buyer"), ("unknown_member", "member")),
        (("set", "1", "--account", "nobody", "--period", "day"), ("unknown_account", "account")),
        (("list", "--account", "nobody"), ("unknown_account", "account")),
        (("list", "--account", "buyer", "--watch", "--json"), ("invalid_watch", "watch")),
        (("end", "mine"), ("invalid_budget", "budget")),
        (("end", "00000000-0000-7000-8000-0000000000ff"), ("unknown_budget", "budget")),
    ],
)
def test_a_budget_that_cannot_be_is_refused_and_not_written(
    cli: Cli, market: Market, arguments: tuple[str, ...], refused: tuple[str, str]
) -> None:
    before = cli.json("budget", "list", "--account", "buyer")
    if "--watch" in arguments:
        done = cli.run("budget", *arguments)
        assert (done.code, done.document["error"]["code"], done.document["error"]["field"]) == (1, *refused)
    else:
        assert cli.refused("budget", *arguments) == refused
    assert cli.json("budget", "list", "--account", "buyer") == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "1", "--account", "buyer", "--period", "year"),
        ("set", "1", *OF_BUYER, "--tier", "giant"),
        ("set", "-1", *OF_BUYER),
        ("set", "1", "--account", "buyer"),
        ("list",),
    ],
)
def test_words_that_there_are_not_are_wrong_usage(cli: Cli, market: Market, arguments: tuple[str, ...]) -> None:
    done = cli.run("budget", *arguments)
    assert (done.code, done.out) == (2, "")
    assert f"swarmex budget {arguments[0]} --help" in done.err


@pytest.fixture
def watching(cli: Cli, market: Market) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`swarmex budget list --watch` on a terminal of its own."""
    cli.json("budget", "set", "20", "--account", "buyer", "--period", "month")
    terminal, inside = pty.openpty()
    command = [sys.executable, "-m", "backend.cli", "budget", "list", "--account", "buyer", "--watch"]
    running = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    yield running, terminal
    if running.poll() is None:
        running.kill()
    running.wait(PATIENCE_S)
    os.close(terminal)


def test_who_watches_sees_a_budget_fill_until_ctrl_c(
    watching: tuple[subprocess.Popen[bytes], int], market: Market
) -> None:
    running, terminal = watching
    _read_until(terminal, "  0%")
    earn(market, 17 * NANO_PER_CREDIT)
    _read_until(terminal, " 85%")
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE_S) == 130


def _read_until(terminal: int, text: str) -> None:
    """Read what is shown until it has a text; fails after PATIENCE_S."""
    shown, give_up_at = b"", time.monotonic() + PATIENCE_S
    while text.encode() not in shown:
        assert time.monotonic() < give_up_at, shown.decode()
        shown += os.read(terminal, 65_536)
