"""The manager as a process: it keeps the wanted fleet alive, outlives its own death, and takes its members along."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from agents.manager.fleet import STOP_ALL_MAX_S
from agents.runtimes.base import Running
from agents.runtimes.process import ProcessRuntime
from backend.domain.fleet import AgentKind, FleetSpec, fleet_label
from backend.services import fleet
from tests.integration.agents.processes import AgentProcess, deployment, until
from tests.market import Market

PRICING = FleetSpec("pricing", AgentKind.PRICING)
POOL = FleetSpec("fog", AgentKind.INFERENCE, ("--pool", "fog"), 2)

Start = Callable[[], AgentProcess]


@pytest.fixture
def runtime(market: Market) -> Iterator[ProcessRuntime]:
    """To look at the fleet, and to end it whatever happens."""
    folder = market.app.folder
    runtime = ProcessRuntime(fleet_label(str(folder)), folder, lambda _member: {})
    yield runtime
    for running in runtime.list():
        runtime.kill(running)


@pytest.fixture
def start(market: Market, node_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("SWARMEX_NODE_DATABASE_URL", node_database_url)
    managers: list[AgentProcess] = []

    def start() -> AgentProcess:
        managers.append(AgentProcess(deployment(market, node_database_url), "manager"))
        return managers[-1]

    yield start
    for manager in managers:
        manager.stop(signal.SIGKILL)


def want(market: Market, *specs: FleetSpec) -> None:
    fleet.set_desired(market.app.uow(), specs)


def labels(runtime: ProcessRuntime) -> list[str]:
    return sorted(running.member.label for running in runtime.list())


def pids(runtime: ProcessRuntime) -> dict[str, int]:
    return {running.member.label: pid_of(running) for running in runtime.list()}


def pid_of(running: Running) -> int:
    return int(running.handle.split()[0])


def up(market: Market) -> list[str]:
    """Names of the agents that say that they are up."""
    with market.app.engine.connect() as connection:
        rows = connection.execute(text("SELECT name FROM agents WHERE state = 'up' AND kind <> 'manager'"))
        return sorted(rows.scalars())


def test_what_is_wanted_comes_up_and_all_goes_with_the_manager(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    want(market, PRICING, POOL)
    manager = start()
    until(lambda: up(market) == ["fog-0", "fog-1", "pricing-0"], "all are up")
    started = time.monotonic()
    assert manager.stop(timeout_s=STOP_ALL_MAX_S) == 0
    assert time.monotonic() - started < STOP_ALL_MAX_S
    assert labels(runtime) == []
    assert up(market) == [], "all have said goodbye"


def test_a_change_of_the_wish_is_followed(market: Market, runtime: ProcessRuntime, start: Start) -> None:
    want(market, POOL)
    start()
    until(lambda: labels(runtime) == ["fog-0", "fog-1"], "both run")
    want(market, PRICING, FleetSpec("fog", AgentKind.INFERENCE, ("--pool", "cloud"), 1))
    until(lambda: labels(runtime) == ["fog-0", "pricing-0"], "one node fewer, a pricing agent more")
    until(lambda: any("cloud" in running.member.arguments for running in runtime.list()), "it serves the cloud")


def test_a_member_that_is_killed_is_started_again(market: Market, runtime: ProcessRuntime, start: Start) -> None:
    want(market, PRICING)
    start()
    until(lambda: up(market) == ["pricing-0"], "it is up")
    before = pids(runtime)["pricing-0"]
    os.kill(before, signal.SIGKILL)
    until(lambda: pids(runtime).get("pricing-0", before) != before, "another one runs")


@pytest.mark.slow
def test_members_outlive_a_killed_manager_and_the_next_one_adopts_them(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    want(market, PRICING, POOL)
    first = start()
    until(lambda: len(up(market)) == 3, "all are up")
    before = pids(runtime)
    first.stop(signal.SIGKILL)
    time.sleep(0.5)
    assert pids(runtime) == before
    second = start()
    until(second.says("member.found"), "the second has found them")
    time.sleep(1.0)
    assert pids(runtime) == before, "nothing was started twice"
    os.kill(before["pricing-0"], signal.SIGKILL)
    until(lambda: pids(runtime).get("pricing-0", before["pricing-0"]) != before["pricing-0"], "it is replaced")
    assert second.stop(timeout_s=STOP_ALL_MAX_S) == 0
    assert labels(runtime) == []


@pytest.mark.slow
def test_a_member_that_cannot_live_is_restarted_ever_more_slowly_and_the_others_do_not_suffer(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    hopeless = FleetSpec("hopeless", AgentKind.INFERENCE, ("--no-such-option",))
    want(market, hopeless, PRICING)
    manager = start()
    until(lambda: len(manager.events("member.died")) >= 4, "it died four times")
    pauses = [fact["pause_s"] for fact in manager.events("member.died")]
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    until(lambda: up(market) == ["pricing-0"], "the other is up")


@pytest.mark.slow
def test_a_second_manager_in_the_same_folder_steps_back(market: Market, runtime: ProcessRuntime, start: Start) -> None:
    want(market, PRICING)
    first = start()
    until(first.says("member.started"), "the first works")
    second = start()
    assert second.process.wait(30.0) == 1
    assert "another manager" in second.log()
    assert labels(runtime) == ["pricing-0"]


@pytest.mark.slow
def test_a_member_that_does_not_drain_is_killed_and_the_manager_still_ends_well(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    want(market, PRICING)
    manager = start()
    until(lambda: up(market) == ["pricing-0"], "it is up")
    os.kill(pids(runtime)["pricing-0"], signal.SIGSTOP)
    assert manager.stop(timeout_s=STOP_ALL_MAX_S) == 0
    assert labels(runtime) == []
    assert manager.events("member.killed")
