"""What every runtime promises to the manager, held against the real engine, a real cluster and real processes."""

from collections.abc import Iterator

import pytest

from agents.runtimes import process
from backend.domain.fleet import Resources
from backend.domain.health import Health
from tests.docker import stub_agents
from tests.docker.fleets import Fleet, fleet_of, member
from tests.forked import shared_zygote
from tests.waiting import until

ENGINE = [pytest.mark.docker, pytest.mark.slow]
KINDS = [
    pytest.param("process"),
    pytest.param("docker", marks=ENGINE),
    pytest.param("swarm", marks=ENGINE),
]


@pytest.fixture(params=KINDS)
def fleet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """An empty fleet of one kind of runtime; nothing of it is left after the test."""
    if request.param == "process":
        shared_zygote()
        monkeypatch.setattr(process, "_module", lambda _: stub_agents.__name__)
        image = "unused"
    else:
        image = request.getfixturevalue("stub_image")
    if request.param == "swarm":
        request.getfixturevalue("cluster")
    with fleet_of(request.param, image, request.getfixturevalue("tmp_path")) as made:
        yield made


def test_a_member_is_started_found_by_its_labels_and_gets_well(fleet: Fleet) -> None:
    wanted = member("--pool", "a b", number=3, resources=Resources(0.5, 256))
    started = fleet.runtime.start(wanted)
    assert started.member == wanted
    assert fleet.runtime.list() == [started]
    well = Health.UNKNOWN if fleet.kind == "process" else Health.HEALTHY
    until(lambda: [one.health for one in fleet.runtime.list()] == [well], "it is well")
    assert fleet.runtime.list() == [started]


def test_a_manager_that_knows_nothing_adopts_it_and_asks_it_to_end(fleet: Fleet) -> None:
    started = fleet.start()
    successor = fleet.successor()
    assert successor.list() == [started]
    successor.ask_to_stop(started)
    until(lambda: successor.list() == [], "it ended")
    fleet.await_empty()
    successor.ask_to_stop(started)
    successor.kill(started)


def test_one_that_ignores_the_request_runs_on_until_it_is_killed(fleet: Fleet) -> None:
    running = fleet.start("stubborn")
    fleet.runtime.ask_to_stop(running)
    assert fleet.runtime.list() == [running], "the request did not outwait its grace, which ends with a kill"
    fleet.runtime.kill(running)
    fleet.await_empty()
    fleet.runtime.kill(running)


def test_two_fleets_on_one_machine_do_not_see_each_other(fleet: Fleet) -> None:
    running = fleet.start()
    other = fleet.successor("another" + fleet.deployment.fleet[7:])
    assert other.list() == []
    other.tidy()
    assert fleet.runtime.list() == [running]


def test_the_last_lines_can_be_read_while_it_runs(fleet: Fleet) -> None:
    running = fleet.start("talkative")
    until(lambda: "line 49" in fleet.output(running), "it has said all")
    assert list(fleet.runtime.logs(running, 3)) == ["line 47", "line 48", "line 49"]


def test_one_that_ended_is_not_listed_and_its_last_lines_outlive_tidying(fleet: Fleet) -> None:
    running = fleet.runtime.start(member("talkative", "short"))
    fleet.await_empty()
    fleet.runtime.tidy()
    assert fleet.runtime.list() == []
    assert list(fleet.runtime.logs(running, 2)) == ["line 48", "line 49"]
    again = fleet.start("second")
    assert fleet.runtime.list() == [again]
    assert again.handle != running.handle
