"""The manager as a process: it keeps the wanted fleet alive, outlives its own death, and takes its members along."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from agents.manager.restarts import LOOP_DEATHS
from agents.runtimes.base import Running
from agents.runtimes.process import ProcessRuntime
from backend.bootstrap import new_id, utc_now
from backend.domain.events import Topic
from backend.domain.fleet import AgentKind, FleetSpec, fleet_label
from backend.domain.ids import AgentId
from backend.domain.orders import OrderState
from backend.domain.scaling import ScalingPolicy
from backend.services import audit, fleet, managers, models
from tests.forked import shared_zygote
from tests.integration.agents.processes import AgentProcess, deployment
from tests.integration.messaging.listening import connected
from tests.market import Market
from tests.onnx_files import request, write_slow_on_demand
from tests.waiting import PATIENCE_S, until

PRICING = FleetSpec("pricing", AgentKind.PRICING)
POOL = FleetSpec("fog", AgentKind.INFERENCE, ("--pool", "fog"), 2)

Start = Callable[[], AgentProcess]


@pytest.fixture
def runtime(market: Market) -> Iterator[ProcessRuntime]:
    """To look at the fleet, and to end it whatever happens."""
    folder = market.app.folder
    runtime = ProcessRuntime(fleet_label(str(folder)), folder, lambda _member: {}, shared_zygote())
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


@pytest.mark.slow
def test_what_is_wanted_comes_up_a_change_of_it_is_followed_and_all_goes_with_the_manager(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    want(market, PRICING, POOL)
    manager = start()
    until(lambda: up(market) == ["fog-0", "fog-1", "pricing-0"], "all are up")
    want(market, replace(PRICING, replicas=2), FleetSpec("fog", AgentKind.INFERENCE, ("--pool", "cloud"), 1))
    until(lambda: labels(runtime) == ["fog-0", "pricing-0", "pricing-1"], "a node fewer, a pricing agent more")
    until(lambda: any("cloud" in running.member.arguments for running in runtime.list()), "it serves the cloud")
    until(lambda: up(market) == ["fog-0", "pricing-0", "pricing-1"], "all are up")
    assert manager.stop() == 0
    assert labels(runtime) == []
    assert up(market) == [], "all have said goodbye"


@pytest.mark.slow
def test_a_member_that_is_killed_or_silent_is_replaced_and_one_that_does_not_drain_is_killed(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    want(market, PRICING)
    manager = start()
    before = 0
    for number, noticed in ((signal.SIGKILL, "member.died"), (signal.SIGSTOP, "member.sick")):
        until(lambda: up(market) == ["pricing-0"] and pids(runtime).get("pricing-0", before) != before, "it is up")  # noqa: B023  at once
        before = pids(runtime)["pricing-0"]
        os.kill(before, number)
        until(manager.says(noticed), "it is noticed")
        until(lambda: pids(runtime).get("pricing-0", before) != before, "another one runs")  # noqa: B023  at once
    os.kill(pids(runtime)["pricing-0"], signal.SIGSTOP)
    assert manager.stop() == 0
    assert labels(runtime) == []
    assert manager.events("member.killed")


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
    assert second.stop() == 0
    assert labels(runtime) == []


@pytest.mark.slow
def test_a_member_that_cannot_live_is_restarted_ever_more_slowly_and_told_once_and_the_others_do_not_suffer(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    want(market, FleetSpec("hopeless", AgentKind.INFERENCE, ("--no-such-option",)), PRICING)
    with closing(market.app.bus.subscribe([Topic.CRASH_LOOP])) as heard:
        connected(heard)
        manager = start()
        until(lambda: len(manager.events("member.died")) > LOOP_DEATHS, "it died often")
        events = heard.wait(PATIENCE_S)
    [told] = manager.events("member.crash_loop")
    assert (told["member"], told["deaths"]) == ("hopeless-0", LOOP_DEATHS)
    assert [event.key for event in events] == ["hopeless-0"]
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
    assert second.process.wait(PATIENCE_S) == 1
    assert "another manager" in second.log()
    assert labels(runtime) == ["pricing-0"]


def register_slow(market: Market) -> None:
    """A model that multiplies matrices as often as its last input says, about 3 ms each."""
    path = write_slow_on_demand(market.app.folder / "slow.onnx")
    models.register_model(market.app.uow(), utc_now(), market.app.objects, "slow", path)


def in_hand(market: Market) -> dict[str, int]:
    """Items that run now, by the names of their agents."""
    with market.app.engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT a.name, count(*) FROM work_items i JOIN agents a ON a.id = i.agent_id"
                " WHERE i.state = 'running' AND a.state IN ('up', 'draining') GROUP BY a.name"
            )
        )
        return {name: int(count) for name, count in rows}


def who_has_it(market: Market) -> str:
    """The agent that has the only item in hand, once it is leased."""
    until(lambda: market.clear() or in_hand(market), "it is leased")
    until(lambda: len(in_hand(market)) == 1, "one of them has it")
    [name] = in_hand(market)
    return name


SETTLEMENT = FleetSpec("settlement", AgentKind.SETTLEMENT)


@pytest.mark.slow
def test_the_work_of_a_killed_agent_runs_on_another_and_scaling_in_takes_the_idle_one_first(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    register_slow(market)
    market.node("a", pool="fog")
    want(market, SETTLEMENT, POOL)
    manager = start()
    until(lambda: up(market) == ["fog-0", "fog-1", "settlement-0"], "all are up")
    [order] = market.place(model="slow", requests=[request((1.0, 1_000.0))])
    doomed = who_has_it(market)
    os.kill(pids(runtime)[doomed], signal.SIGKILL)
    until(lambda: in_hand(market).keys() - {doomed}, "the other one has it")
    until(lambda: market.show(order).state is OrderState.SETTLED, "it is done")
    assert len(manager.events("member.work_returned")) == 1, "nobody waited for a claim to lapse"
    until(lambda: up(market) == ["fog-0", "fog-1", "settlement-0"], "the dead one is back")

    [order] = market.place(model="slow", requests=[request((1.0, 2_000.0))])
    busy = who_has_it(market)
    fleet.scale(market.app.uow(), utc_now(), None, "fog", 1)
    until(lambda: labels(runtime) == [busy, "settlement-0"], "the idle one has gone, whatever its number")
    fleet.scale(market.app.uow(), utc_now(), None, "fog", 0)
    until(lambda: labels(runtime) == ["settlement-0"], "the other one follows")
    until(lambda: market.show(order).state is OrderState.SETTLED, "but only when it had done its work")
    with market.app.engine.connect() as connection:
        attempts = connection.execute(text("SELECT attempt FROM work_items ORDER BY id")).scalars().all()
    assert attempts == [2, 1]
    assert audit.audit_ledger(market.app.uow()).ok


@pytest.mark.slow
def test_the_work_of_the_only_agent_of_a_queue_runs_again_on_its_successor(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    register_slow(market)
    market.node("a", pool="fog")
    want(market, SETTLEMENT, FleetSpec("allocation", AgentKind.ALLOCATION), replace(POOL, replicas=1))
    start()
    until(lambda: up(market) == ["allocation-0", "fog-0", "settlement-0"], "all are up")
    [order] = market.place(model="slow", requests=[request((1.0, 1_000.0))])
    until(lambda: in_hand(market), "it runs")
    before = pids(runtime)["fog-0"]
    os.kill(before, signal.SIGKILL)
    until(lambda: pids(runtime).get("fog-0", before) != before, "another one was started")
    until(lambda: in_hand(market), "it runs again")
    until(lambda: market.show(order).state is OrderState.SETTLED, "it is done")


@pytest.mark.slow
def test_a_newer_manager_takes_over_and_the_older_one_ends_well_and_touches_nothing(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    want(market, PRICING)
    first = start()
    until(lambda: up(market) == ["pricing-0"], "it is up")
    before = pids(runtime)
    generation = managers.take_over(market.app.uow(), utc_now(), AgentId(new_id()))
    want(market, POOL)  # which a manager that still acts would start
    assert first.process.wait(PATIENCE_S) == 0
    assert first.events("manager.superseded")
    assert pids(runtime) == before
    known = managers.manager_of(market.app.uow())
    assert known is not None
    assert known.generation == generation
    start()
    until(lambda: labels(runtime) == ["fog-0", "fog-1", "pricing-0"], "the next one goes on")
    assert pids(runtime)["pricing-0"] == before["pricing-0"]


@pytest.mark.slow
def test_a_pool_at_zero_comes_up_for_an_order_and_goes_again_when_all_is_done(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    policy = ScalingPolicy(up_window_s=0, down_window_s=4, cool_down_s=0)
    market.node("a", pool="fog")
    want(
        market,
        SETTLEMENT,
        FleetSpec("allocation", AgentKind.ALLOCATION),
        replace(POOL, replicas=0, replicas_max=2, policy=policy),
    )
    start()
    until(lambda: up(market) == ["allocation-0", "settlement-0"], "nobody serves the pool")
    [order] = market.place(requests=[request((1.0, 2.0))])
    until(lambda: market.show(order).state is OrderState.SETTLED, "somebody came for it")
    until(lambda: labels(runtime) == ["allocation-0", "settlement-0"], "and went again")
    causes = [decision.cause for decision in fleet.decisions(market.app.uow(), "fog")]
    assert causes[-2:] == ["from_zero", "steady"]
    assert "idle" in causes


@pytest.mark.slow
def test_of_two_managers_on_one_database_the_older_ends_well(
    market: Market, node_database_url: str, start: Start, tmp_path: Path
) -> None:
    first = start()
    until(first.says("manager.took_over"), "the first works")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = AgentProcess(replace(deployment(market, node_database_url), folder=elsewhere), "manager")
    try:
        assert first.process.wait(PATIENCE_S) == 0
        assert first.events("manager.superseded")
        assert [fact["generation"] for fact in second.events("manager.took_over")] == [2]
        assert second.process.poll() is None
    finally:
        assert second.stop() == 0
