"""`swarmex agents`: how well they are, how many there are and why, and what they wrote."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from agents.tail import NOT_RUNNING
from agents.tail import main as tail_member
from backend.bootstrap import new_id, utc_now
from backend.cli.agents import listed
from backend.cli.logs import growing, growing_in_engine, newer, tail
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat
from backend.services import fleet, log, managers
from tests.integration.cli.runner import Cli
from tests.integration.services.clock import in_seconds
from tests.market import Market

ENTRY = FleetSpec("pricing", AgentKind.PRICING, replicas=2, replicas_max=4)


def beat(market: Market, name: str = "pricing-0", agent: AgentId | None = None, done: int = 0) -> AgentId:
    """A sign of life of an agent that is this process."""
    agent = agent or AgentId(new_id())
    sign = AgentBeat(agent, "pricing", name, socket.gethostname(), os.getpid(), work_done=done, tick_age_ms=10)
    fleet.beat(market.app.uow(), utc_now(), sign)
    return agent


@contextmanager
def managed(market: Market, *names: str) -> Iterator[dict[str, AgentId]]:
    """A manager's part, for agents that beat until they are told to drain and then have a successor."""
    agents = {name: beat(market, name) for name in names}
    generation = managers.take_over(market.app.uow(), utc_now(), AgentId(new_id()))
    ended = threading.Event()

    def manage() -> None:
        while not ended.wait(0.05):
            managers.manages(market.app.uow(), utc_now(), generation)
            for name, agent in list(agents.items()):
                sign = AgentBeat(agent, "pricing", name, socket.gethostname(), os.getpid())
                if fleet.beat(market.app.uow(), utc_now(), sign).drain:
                    fleet.stopped(market.app.uow(), utc_now(), agent)
                    agents[name] = beat(market, name)

    thread = threading.Thread(target=manage)
    thread.start()
    try:
        yield agents
    finally:
        ended.set()
        thread.join()


def test_an_agent_is_shown_with_its_health_and_an_entry_with_why_there_are_so_many(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [ENTRY])
    agent = beat(market)
    shown = cli.json("agents", "show", "pricing-0")
    [one] = shown["agents"]
    assert (one["id"], one["verdict"], one["reason"], one["in_flight"]) == (str(agent), "healthy", None, 0)
    assert (shown["entry"]["name"], shown["managed"]) == ("pricing", False)
    assert cli.json("agents", "show", agent)["agents"][0]["name"] == "pricing-0"
    assert [one["name"] for one in cli.json("agents", "show", "pricing")["agents"]] == ["pricing-0"]
    assert "Why so many" in cli.run("agents", "show", "pricing").out
    managers.agent_gone(market.app.uow(), utc_now(), "pricing-0", in_seconds(1))
    [gone] = cli.json("agents", "show", "pricing-0")["agents"]
    assert (gone["verdict"], gone["reason"]) == ("sick", "it ended without a word")
    assert cli.refused("agents", "show", "nobody") == ("unknown_agent", "agent")


def test_names_of_agents_are_whole_in_a_narrow_terminal(cli: Cli, market: Market) -> None:
    beat(market, "settlement-10")
    shown = StringIO()
    Console(width=80, file=shown).print(listed(cli.json("agents", "list")))
    assert " settlement-10 " in shown.getvalue()


def test_one_that_was_lost_and_replaced_is_listed_on_demand_alone(cli: Cli, market: Market) -> None:
    for name in ("pricing-0", "pricing-1"):
        beat(market, name)
        managers.agent_gone(market.app.uow(), utc_now(), name, in_seconds(1))
    successor = beat(market, "pricing-0")
    listed = {one["name"]: (one["id"], one["state"]) for one in cli.json("agents", "list")}
    assert listed["pricing-0"] == (str(successor), "up")
    assert listed["pricing-1"][1] == "lost", "nobody took its place"
    assert len(cli.json("agents", "list")) == 2
    assert len(cli.json("agents", "list", "--all")) == 3


def test_a_manager_that_was_lost_is_listed_until_another_one_is_there(cli: Cli, market: Market) -> None:
    lost = AgentBeat(AgentId(new_id()), "manager", "manager-a", "h", 1)
    fleet.beat(market.app.uow(), in_seconds(-60), lost)
    assert [(one["name"], one["state"]) for one in cli.json("agents", "list")] == [("manager-a", "lost")]
    fleet.beat(market.app.uow(), utc_now(), AgentBeat(AgentId(new_id()), "manager", "manager-b", "h", 2))
    assert [(one["name"], one["state"]) for one in cli.json("agents", "list")] == [("manager-b", "up")]


def test_one_whose_loop_hangs_is_sick_and_says_why(cli: Cli, market: Market) -> None:
    sign = AgentBeat(AgentId(new_id()), "pricing", "pricing-0", "host", 1, tick_age_ms=100_000)
    fleet.beat(market.app.uow(), utc_now(), sign)
    [one] = cli.json("agents", "show", "pricing-0")["agents"]
    assert (one["verdict"], one["reason"]) == ("sick", "it beats, but its loop hangs for 100 s")
    assert one["host"] == "host"


def test_an_entry_is_scaled_within_its_bounds_and_that_is_logged(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [ENTRY])
    done = cli.run("agents", "scale", "pricing", 3, "--json")
    assert done.document["replicas"] == 3
    assert "`swarmex up`" in done.err, "nobody acts on it"
    assert [spec.replicas for spec in fleet.desired(market.app.uow())] == [3]
    assert cli.refused("agents", "scale", "pricing", 5) == ("invalid_replicas", "replicas")
    assert cli.refused("agents", "scale", "nobody", 1) == ("unknown_fleet_entry", "name")
    assert len(log.list_entries(market.app.uow(), action="fleet.scale")) == 1


POOL = FleetSpec("pool.edge", AgentKind.INFERENCE, ("--pool", "edge"), replicas=2)


def test_an_operator_sets_the_bounds_and_the_policy_of_an_entry(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [POOL, ENTRY])
    done = cli.run("agents", "policy", "pool.edge", "--min", 3, "--max", 8, "--set", "wait_ms=2000", "--json")
    assert [done.document[name] for name in ("replicas", "replicas_min", "replicas_max")] == [3, 3, 8]
    assert done.document["policy"]["wait_ms"] == 2000
    assert "`swarmex up`" in done.err, "nobody acts on it"
    again = cli.run("agents", "policy", "pool.edge", "--max", 9, "--set", "up_step=2", "--json").document
    assert (again["replicas_min"], again["replicas_max"]) == (3, 9)
    assert (again["policy"]["wait_ms"], again["policy"]["up_step"]) == (2000, 2), "what is not said stays"
    fixed = cli.run("agents", "policy", "pool.edge", "--fixed", "--json").document
    assert (fixed["policy"], fixed["replicas_max"]) == (None, 9)
    bounded = cli.run("agents", "policy", "pricing", "--fixed", "--max", 3)
    assert bounded.code == 0
    assert len(log.list_entries(market.app.uow(), action="fleet.policy")) == 4


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("nobody",), ("unknown_fleet_entry", "name")),
        (("pricing",), ("invalid_policy", "policy")),
        (("pool.edge", "--min", 9, "--max", 4), ("invalid_replicas_min", "replicas_min")),
        (("pool.edge", "--max", 101), ("invalid_replicas_max", "replicas_max")),
        (("pool.edge", "--set", "wait_ms"), ("invalid_policy", "set")),
        (("pool.edge", "--set", "patience=3"), ("invalid_policy", "policy.patience")),
        (("pool.edge", "--set", "up_step=0"), ("invalid_policy", "policy.up_step")),
        (("pool.edge", "--fixed", "--set", "up_step=1"), ("invalid_policy", "fixed")),
    ],
)
def test_a_policy_that_cannot_be_is_refused_and_not_written(
    cli: Cli, market: Market, arguments: tuple[object, ...], refusal: tuple[str, str]
) -> None:
    fleet.set_desired(market.app.uow(), [POOL, ENTRY])
    assert cli.refused("agents", "policy", *arguments) == refusal
    assert fleet.desired(market.app.uow()) == [POOL, ENTRY]


def test_an_agent_is_drained_by_its_name(cli: Cli, market: Market) -> None:
    agent = beat(market)
    assert cli.run("agents", "drain", "pricing-0", "--json").document["id"] == str(agent)
    assert fleet.beat(market.app.uow(), utc_now(), AgentBeat(agent, "pricing", "pricing-0", "h", 1)).drain
    assert cli.refused("agents", "drain", "nobody-0") == ("unknown_agent", "agent")


def test_agents_are_restarted_one_after_another(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [ENTRY])
    with managed(market, "pricing-0", "pricing-1") as agents:
        before = dict(agents)
        done = cli.json("agents", "restart", "pricing")
        assert [one["name"] for one in done["restarted"]] == ["pricing-0", "pricing-1"]
        assert {str(agent) for agent in before.values()} == {one["id"] for one in done["restarted"]}
        assert not set(before.values()) & set(agents.values())
        assert "pricing-1" in cli.run("agents", "restart", "pricing-1").out
    drained = [entry.subject for entry in log.list_entries(market.app.uow(), action="agent.drain")]
    assert drained[::-1] == ["agent pricing-0", "agent pricing-1", "agent pricing-1"]


def test_nothing_is_restarted_that_nobody_would_start_again(cli: Cli, market: Market) -> None:
    beat(market, "by-hand")
    assert cli.refused("agents", "restart", "by-hand") == ("not_in_the_fleet", "name")
    fleet.set_desired(market.app.uow(), [ENTRY])
    beat(market)
    assert cli.refused("agents", "restart", "pricing")[0] == "no_manager"
    assert log.list_entries(market.app.uow(), action="agent.") == []


def test_top_tells_rates_and_what_this_machine_measures(cli: Cli, market: Market) -> None:
    with managed(market, "pricing-0"):
        [one] = cli.json("agents", "top")
    assert (one["name"], one["per_s"], one["queued"]) == ("pricing-0", 0.0, None)
    assert one["memory_mb"] > 10
    assert one["cpu_percent"] >= 0.0


@pytest.fixture
def written(market: Market) -> Path:
    """The log of an agent, of 500 lines."""
    folder = market.app.folder / "logs"
    folder.mkdir(parents=True)
    path = folder / "pricing-0.log"
    path.write_text("".join(f"line {number}\n" for number in range(500)))
    return path


def test_the_last_lines_of_an_agent_are_printed(cli: Cli, written: Path) -> None:
    assert cli.run("agents", "logs", "pricing-0", "-n", "2").out == "line 498\nline 499\n"
    assert cli.run("agents", "logs", "pricing", "-n", "1").out == "line 499\n", "the only one of the entry"
    assert cli.json("agents", "logs", "pricing-0")["lines"][0] == "line 450"
    (written.parent / "manager.log").write_text("led\n")
    assert cli.run("agents", "logs", "manager-0a1b2c").out == "led\n", "under the name that it is listed by"
    assert cli.refused("agents", "logs", "../secret") == ("unknown_log", "name")
    assert "pricing-0" in cli.run("agents", "logs", "nobody").err
    assert cli.refused("agents", "logs", "pricing-0", "-n", "0") == ("invalid_lines", "lines")
    assert cli.run("agents", "logs", "pricing-0", "--follow", "--json").document["error"]["field"] == "follow"
    for number in range(2, 100):
        (written.parent / f"pool.edge-{number}.log").touch()
    assert len(cli.run("agents", "logs", "nobody").err) < 1_000, "a hundred names tell nobody anything"


def test_of_a_container_that_has_ended_the_last_words_are_kept_here(
    cli: Cli, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written.parent.parent
    program = folder / "python"
    program.write_text('#!/bin/sh\necho "$@"; exit $(cat ' + str(folder / "code") + ")\n")
    program.chmod(0o755)
    monkeypatch.setenv("SWARMEX_RUNTIME", "docker")
    monkeypatch.setattr("backend.cli.logs.sys.executable", str(program))
    for code in ("0", "3", "1"):
        (folder / "code").write_text(code)
        done = cli.run("agents", "logs", "pricing-0", "-n", 1, "--json")
        if code == "1":
            assert done.document["error"]["code"] == "engine_unreachable"
        else:
            told = "-m agents.tail pricing-0 1" if code == "0" else "line 499"
            assert done.document["lines"] == [told]


def test_a_container_is_followed_line_by_line(
    cli: Cli, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, program = tmp_path / "written", tmp_path / "python"
    program.write_text(f"#!/bin/sh\ntail -n $4 {written}\n")
    program.chmod(0o755)
    monkeypatch.setattr("backend.cli.logs.sys.executable", str(program))
    monkeypatch.setattr("backend.cli.logs.CONTAINERS_EVERY_S", 0.0)
    written.write_text("a\nsame\nsame\n")
    more = growing_in_engine(market.app.settings, "pricing-0", ["a", "same", "same"])
    assert next(more) == []
    written.write_text("a\nsame\nsame\nsame\nb\n")
    assert next(more) == ["same", "b"]
    written.write_text("its successor\n")
    assert next(more) == ["its successor"]


def test_who_does_not_run_is_told_from_an_engine_that_cannot_be_asked(cli: Cli, market: Market) -> None:
    assert tail_member(["nobody-0", "5"]) == NOT_RUNNING


def test_a_tail_is_the_same_whatever_the_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.cli.logs.CHUNK_BYTES", 7)
    path = tmp_path / "x.log"
    for content in ("", "a", "a\n", "a\nbb\n\nccc", "äöü\n" * 9, "x" * 50 + "\n" + "y" * 50):
        path.write_text(content)
        for lines in (1, 2, 3, 100):
            assert tail(path, lines) == content.splitlines()[-lines:]


def test_what_is_written_later_is_followed_through_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.cli.logs.FOLLOW_EVERY_S", 0.0)
    path = tmp_path / "x.log"
    path.write_text("old\n")
    more = growing(path, path.stat().st_size)
    with path.open("a") as file:
        first = next(more)
        file.write("one\ntw")
        file.flush()
        assert (first, next(more)) == ([], ["one"])
        file.write("o\n")
    assert next(more) == ["two"]
    path.rename(tmp_path / "x.log.1")
    assert next(more) == []
    path.write_text("anew\n")
    assert next(more) == ["anew"]
    path.write_text("")
    assert next(more) == []
    path.write_text("shorter\n")
    assert next(more) == ["shorter"]


def test_nothing_is_lost_or_repeated_between_the_last_lines_and_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.cli.logs.FOLLOW_EVERY_S", 0.0)
    path = tmp_path / "x.log"
    path.write_text("old\n")
    end = path.stat().st_size
    more = growing(path, end)
    with path.open("a") as file:
        file.write("meanwhile\n")
    assert (tail(path, 5, end), next(more)) == (["old"], ["meanwhile"])


def test_what_is_new_of_a_window_that_moves_is_told_from_what_was_seen() -> None:
    assert newer(["a", "b", "c"], ["b", "c", "d"]) == ["d"]
    assert newer(["a"], ["a"]) == []
    assert newer([], ["a"]) == ["a"]
    assert newer(["a"], ["x", "y"]) == ["x", "y"]
