"""Members as processes: started, found by their labels, stopped, killed with all that they started."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from agents.runtimes import logs, process
from agents.runtimes.base import Member, Running
from agents.runtimes.environment import Deployment, environment_of
from agents.runtimes.process import ProcessRuntime
from backend.domain.fleet import AgentKind
from tests.forked import shared_zygote
from tests.integration.agents import odd_member
from tests.integration.agents.processes import alive
from tests.waiting import until


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(
        fleet=tmp_path.name + str(os.getpid()),
        folder=tmp_path,
        database_url="postgresql://owner:secret@nowhere/none",
        redis_url="redis://nowhere",
        node_database_url=lambda: "postgresql://node@nowhere/none",
        objects_url="file:///nowhere",
        model_cache=tmp_path / "cache",
        bus_namespace="test",
        log_level="INFO",
    )


def runtime_of(shared: Deployment) -> ProcessRuntime:
    environment = partial(environment_of, deployment=shared, own=os.environ)
    return ProcessRuntime(shared.fleet, shared.folder, environment, shared_zygote())


@pytest.fixture
def runtime(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessRuntime]:
    monkeypatch.setattr(process, "_module", lambda _: odd_member.__name__)
    runtime = runtime_of(deployment)
    yield runtime
    for running in runtime.list():
        runtime.kill(running)


def member(*arguments: str, number: int = 0, kind: AgentKind = AgentKind.PRICING) -> Member:
    return Member("m", number, kind, arguments)


def pid_of(running: Running) -> int:
    return int(running.handle.split()[0])


def log_of(deployment: Deployment, label: str = "m-0") -> str:
    path = deployment.folder / "logs" / f"{label}.log"
    return path.read_text() if path.exists() else ""


def start(runtime: ProcessRuntime, deployment: Deployment, wanted: Member) -> Running:
    """A member that has installed its signal handlers by now."""
    running = runtime.start(wanted)
    until(lambda: "\nhas " in log_of(deployment, wanted.label), "it is up")
    return running


def gone(runtime: ProcessRuntime) -> bool:
    return runtime.list() == []


def test_what_was_started_is_found_with_all_that_makes_it_a_member(
    runtime: ProcessRuntime, deployment: Deployment
) -> None:
    wanted = [member("--pool", "a b", number=number) for number in range(2)]
    started = [runtime.start(one) for one in wanted]
    assert sorted(runtime.list(), key=lambda one: one.member.number) == started
    assert [one.member for one in started] == wanted


def test_another_manager_finds_the_same_members_and_can_stop_them(
    runtime: ProcessRuntime, deployment: Deployment
) -> None:
    started = start(runtime, deployment, member())
    successor = runtime_of(deployment)
    assert successor.list() == [started]
    successor.ask_to_stop(started)
    until(lambda: gone(successor) and gone(runtime), "it ended")


def test_members_of_another_fleet_are_not_touched(runtime: ProcessRuntime, deployment: Deployment) -> None:
    runtime.start(member())
    assert gone(runtime_of(replace(deployment, fleet="another")))


def test_a_member_leads_its_session_so_that_ctrl_c_does_not_reach_it(
    runtime: ProcessRuntime, deployment: Deployment
) -> None:
    pid = pid_of(runtime.start(member()))
    assert os.getsid(pid) == pid != os.getsid(0)


def test_what_a_member_starts_is_no_member_but_dies_with_it(runtime: ProcessRuntime, deployment: Deployment) -> None:
    running = start(runtime, deployment, member("parent"))
    child = int(log_of(deployment).split("child ")[1].split()[0])
    assert runtime.list() == [running]
    assert alive(child)
    runtime.kill(running)
    until(lambda: not alive(child) and gone(runtime), "both are gone")


def test_one_that_ignores_the_request_can_be_killed(runtime: ProcessRuntime, deployment: Deployment) -> None:
    running = start(runtime, deployment, member("stubborn"))
    runtime.ask_to_stop(running)
    time.sleep(0.3)
    assert runtime.list() == [running]
    runtime.kill(running)
    until(lambda: gone(runtime), "it is gone")


def test_signals_to_one_that_ended_reach_nobody_even_if_its_number_lives_again(
    runtime: ProcessRuntime, deployment: Deployment
) -> None:
    running = start(runtime, deployment, member())
    runtime.kill(running)
    until(lambda: gone(runtime), "it is gone")
    runtime.ask_to_stop(running)
    runtime.kill(running)
    time.sleep(2 / os.sysconf("SC_CLK_TCK"))  # a number lives again later, by the clock that starts are told by
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as bystander:
        mistaken = Running(member(), f"{bystander.pid} {running.started_s}", running.started_s)
        runtime.ask_to_stop(mistaken)
        runtime.kill(mistaken)
        time.sleep(0.2)
        assert bystander.poll() is None
        bystander.kill()


def test_a_member_that_ended_is_not_listed_though_nobody_collected_it(
    runtime: ProcessRuntime, deployment: Deployment
) -> None:
    running = start(runtime, deployment, member())
    dead = psutil.Process(pid_of(running))
    zygote = dead.parent()
    assert zygote is not None
    zygote.suspend()
    try:
        dead.kill()
        until(lambda: dead.status() == psutil.STATUS_ZOMBIE, "it is a zombie")
        assert gone(runtime_of(deployment))
    finally:
        zygote.resume()


def test_output_goes_to_a_file_of_its_own_which_only_the_owner_can_read(
    runtime: ProcessRuntime, deployment: Deployment
) -> None:
    start(runtime, deployment, member("first"))
    start(runtime, deployment, member("second", number=1))
    assert "up first" in log_of(deployment, "m-0")
    assert "up second" in log_of(deployment, "m-1")
    assert (deployment.folder / "logs" / "m-0.log").stat().st_mode & 0o077 == 0


def test_a_restart_begins_a_fresh_file_and_keeps_the_one_before(
    runtime: ProcessRuntime, deployment: Deployment
) -> None:
    running = start(runtime, deployment, member("first"))
    runtime.kill(running)
    until(lambda: gone(runtime), "it is gone")
    start(runtime, deployment, member("second"))
    assert "up first" not in log_of(deployment)
    assert "up first" in (deployment.folder / "logs" / "m-0.log.1").read_text()


def test_a_file_that_grows_too_long_is_cut_while_its_writer_goes_on(
    runtime: ProcessRuntime, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 20_000)
    writer = psutil.Process(pid_of(runtime.start(member("talkative"))))
    path = deployment.folder / "logs" / "m-0.log"
    until(lambda: path.stat().st_size > 20_000, "it is too long")
    writer.suspend()
    until(lambda: writer.status() == psutil.STATUS_STOPPED, "it pauses")
    runtime.tidy()
    assert path.stat().st_size == 0
    writer.resume()
    until(lambda: path.read_text().startswith("x"), "it goes on at the front")
    assert (path.parent / "m-0.log.1").stat().st_size > 20_000


def test_an_inference_agents_process_has_no_way_to_the_owners_database(
    runtime: ProcessRuntime, deployment: Deployment
) -> None:
    running = start(runtime, deployment, member(kind=AgentKind.INFERENCE))
    output = log_of(deployment)
    assert "has SWARMEX_NODE_DATABASE_URL" in output
    assert "has SWARMEX_DATABASE_URL" not in output
    assert "has SWARMEX_DATA_FOLDER" not in output
    shown = Path(f"/proc/{pid_of(running)}")
    assert b"nowhere" not in (shown / "environ").read_bytes() + (shown / "cmdline").read_bytes()


def test_a_member_whose_settings_cannot_be_had_is_not_started(runtime: ProcessRuntime, deployment: Deployment) -> None:
    def refuse() -> str:
        raise OSError("the database is away")

    with pytest.raises(OSError, match="away"):
        runtime_of(replace(deployment, node_database_url=refuse)).start(member(kind=AgentKind.INFERENCE))
    assert gone(runtime)
