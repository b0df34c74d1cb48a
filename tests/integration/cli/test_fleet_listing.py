"""`swarmex agents show` without a name, questions before many processes are started, and whose logs are named."""

import sys
from io import StringIO
from os import utime

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.fleet import AgentKind, FleetSpec, Resources
from backend.domain.ids import AgentId
from backend.domain.scaling import ScalingPolicy
from backend.domain.work import AgentBeat
from backend.services import fleet, managers
from tests.integration.cli.runner import Cli
from tests.integration.services.clock import in_seconds
from tests.market import Market

CORE = FleetSpec("pool.core", AgentKind.INFERENCE, ("--pool", "core"), replicas=2, policy=ScalingPolicy())
PRICING = FleetSpec("pricing", AgentKind.PRICING, replicas_max=4, image="swarmex:1.1", resources=Resources(0.5, 512))


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.cli.confirmations.os.cpu_count", lambda: 2)


def beat(market: Market, kind: str, name: str) -> AgentId:
    """A sign of life."""
    agent = AgentId(new_id())
    fleet.beat(market.app.uow(), utc_now(), AgentBeat(agent, kind, name, "h", 1))
    return agent


def test_entries_are_listed_with_how_many_agents_each_has_even_if_that_is_none(cli: Cli, market: Market) -> None:
    assert cli.json("agents", "show") == []
    fleet.set_desired(market.app.uow(), [CORE, PRICING])
    beat(market, "inference", "pool.core-0")
    beat(market, "pricing", "by-hand")
    fleet.scale(market.app.uow(), utc_now(), None, "pricing", 0)
    core, pricing = cli.json("agents", "show")
    assert [core[name] for name in ("name", "replicas", "living", "follows_load")] == ["pool.core", 2, 1, True]
    told = ("name", "kind", "replicas", "living", "replicas_min", "replicas_max", "follows_load")
    assert [pricing[name] for name in told] == ["pricing", "pricing", 0, 0, 0, 4, False]
    assert [pricing[name] for name in ("image", "cpu", "memory_mb")] == ["swarmex:1.1", 0.5, 512]
    head, _, *rows = cli.run("agents", "show").out.splitlines()
    assert head.split() == [
        "Entry",
        "Kind",
        "Wanted",
        "Living",
        "Min",
        "Max",
        "Scales",
        "itself",
        "Image",
        "Cores",
        "MiB",
    ]
    assert rows[1].split() == ["pricing", "pricing", "0", "0", "0", "4", "no", "swarmex:1.1", "0.5", "512"]


def test_a_policy_is_told_a_setting_a_line_in_words_that_set_takes(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [CORE, PRICING])
    for arguments in (
        ("policy", "pool.core", "--set", "wait_ms=1000"),
        ("show", "pool.core"),
        ("scale", "pool.core", 1),
    ):
        lines = [line.split()[-1] for line in cli.run("agents", *arguments).out.splitlines() if line.strip()]
        assert "wait_ms=1000" in lines
        assert f"up_step={ScalingPolicy().up_step}" in lines
    assert "{" not in cli.run("agents", "show", "pool.core").out
    assert "policy        fixed" in cli.run("agents", "show", "pricing").out


@pytest.mark.parametrize(
    "arguments",
    [("scale", "pool.core"), ("policy", "pool.core", "--min"), ("add", "inference", "--pool", "west", "--min")],
)
def test_more_processes_than_the_machine_can_run_are_started_only_if_that_is_meant(
    cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    fleet.set_desired(market.app.uow(), [CORE])
    managers.take_over(market.app.uow(), utc_now(), AgentId(new_id()))
    assert cli.refused("agents", *arguments, 9) == ("confirmation_needed", "--yes")
    assert "9 processes would run on this machine, which has 2 cores" in cli.run("agents", *arguments, 9).err
    assert fleet.desired(market.app.uow()) == [CORE]
    assert cli.json("agents", *arguments, 9, "--yes")["replicas"] == 9
    if arguments[0] == "scale":
        assert cli.json("agents", "scale", "pool.core", 9)["replicas"] == 9, "they run already"
    fleet.set_desired(market.app.uow(), [CORE])
    monkeypatch.setenv("SWARMEX_RUNTIME", "docker")
    if arguments[0] == "scale":
        assert cli.json("agents", *arguments, 9)["replicas"] == 9, "containers may run elsewhere, and have limits"


def test_at_a_terminal_it_is_asked_and_no_changes_nothing(
    cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.set_desired(market.app.uow(), [CORE])
    for answer, wanted in (("n\n", 2), ("y\n", 9)):
        keyboard = StringIO(answer)
        monkeypatch.setattr(keyboard, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", keyboard)
        done = cli.run("agents", "scale", "pool.core", 9)
        assert "Start them?" in done.out + done.err
        assert (done.code != 0) == (answer == "n\n")
        assert fleet.desired(market.app.uow())[0].replicas == wanted


def test_a_number_out_of_bounds_is_refused_rather_than_asked_about(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [CORE])
    assert cli.refused("agents", "scale", "pool.core", 101) == ("invalid_replicas", "replicas")
    assert cli.refused("agents", "policy", "pool.core", "--min", 101) == ("invalid_replicas_min", "replicas_min")
    assert cli.json("agents", "show", "pool.core")["entry"]["replicas"] == 2


def test_who_drains_an_agent_is_told_when_nobody_would_start_another(cli: Cli, market: Market) -> None:
    beat(market, "pricing", "pricing-0")
    told = cli.run("agents", "drain", "pricing-0").err
    assert "nobody starts another" in told
    assert "`swarmex up`" in told
    managers.take_over(market.app.uow(), utc_now(), AgentId(new_id()))
    assert cli.run("agents", "drain", "pricing-0").err == ""


def test_a_manager_is_not_offered_as_a_kind_and_refused_like_any_other_word(cli: Cli, market: Market) -> None:
    offered = cli.run("agents", "add", "--help").out
    assert "settlement" in offered
    assert "manager," not in offered
    assert "|manager" not in offered
    for kind in ("manager", "nosuch"):
        assert cli.refused("agents", "add", kind) == ("invalid_kind", "kind")
        assert "allocation, settlement, inference" in cli.run("agents", "add", kind).err


def test_of_logs_those_of_agents_that_live_are_named_first_then_a_few_that_ended_last(cli: Cli, market: Market) -> None:
    folder = market.app.folder / "logs"
    folder.mkdir(parents=True)
    for age, name in enumerate(["pool.edge-1", "manager", *(f"pool.edge-{number}" for number in range(2, 50))]):
        path = folder / f"{name}.log"
        path.touch()
        utime(path, (1e9 - age, 1e9 - age))
    (folder / "settlement-0.log").touch()
    utime(folder / "settlement-0.log", (1, 1))
    beat(market, "settlement", "settlement-0")
    beat(market, "manager", "manager-0a1b2c")
    fleet.beat(market.app.uow(), in_seconds(-60), AgentBeat(AgentId(new_id()), "inference", "pool.edge-1", "h", 1))
    refusal = cli.run("agents", "logs", "nosuch", "--json").document["error"]["accepted"]
    assert refusal == "manager, settlement-0, pool.edge-1, pool.edge-2, pool.edge-3 and 46 more"
    assert "pool.edge-4" not in cli.run("agents", "logs", "nosuch").err


def test_logs_are_named_without_a_database_as_well(cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = market.app.folder / "logs"
    folder.mkdir(parents=True)
    (folder / "pricing-0.log").touch()
    monkeypatch.setenv("SWARMEX_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert cli.run("agents", "logs", "nosuch", "--json").document["error"]["accepted"] == "pricing-0"
