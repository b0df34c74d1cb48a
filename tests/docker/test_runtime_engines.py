"""What containers and services have that processes have not: limits, few rights, networks, health."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.runtimes import container
from agents.runtimes.base import Running
from agents.runtimes.choice import RuntimeChoice, choose
from agents.runtimes.swarm_services import service_of
from backend.domain.errors import Unavailable
from backend.domain.fleet import Resources
from backend.domain.health import Health
from tests.docker.containers import docker
from tests.docker.fleets import Fleet, fleet_of, member
from tests.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# In a container: the agent itself, not its init (1) nor whoever asks how it is.
STOP_AGENT = """
import os, pathlib, signal
for place in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    pid = int(place.parent.name)
    if pid not in {1, os.getpid()} and b"agents" in place.read_bytes().split(b"\\0"):
        os.kill(pid, signal.SIGSTOP)
"""


@pytest.fixture
def containers(stub_image: str, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on the engine."""
    with fleet_of("docker", stub_image, tmp_path) as fleet:
        yield fleet


@pytest.fixture
def services(stub_image: str, cluster: None, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on the cluster."""
    with fleet_of("swarm", stub_image, tmp_path) as fleet:
        yield fleet


def inspected(*what: str) -> Mapping[str, Any]:
    """What the engine knows of one thing."""
    [facts] = json.loads(docker(*what))
    return dict(facts)


def container_of(fleet: Fleet, running: Running) -> Mapping[str, Any]:
    """The container of a member."""
    if fleet.kind == "docker":
        return inspected("inspect", running.handle)
    label = f"com.docker.swarm.service.id={service_of(running)}"
    return inspected("inspect", docker("ps", "--quiet", "--filter", f"label={label}").strip())


def networks(fleet: Fleet) -> list[str]:
    """Names of the fleet's networks."""
    label = f"label=swarmex.fleet={fleet.deployment.fleet}"
    return docker("network", "ls", "--filter", label, "--format", "{{.Name}}").split()


@pytest.mark.parametrize("kind", ["containers", "services"])
def test_limits_and_missing_rights_are_the_engines_own_doing(kind: str, request: pytest.FixtureRequest) -> None:
    fleet: Fleet = request.getfixturevalue(kind)
    facts = container_of(fleet, fleet.start(resources=Resources(0.5, 256)))
    config = facts["HostConfig"]
    assert config["NanoCpus"] == 500_000_000
    assert config["Memory"] == 256 * 2**20
    assert config["PidsLimit"] == 512
    assert config["ReadonlyRootfs"]
    assert config["CapDrop"] == ["ALL"]
    assert config["Init"]
    assert config["RestartPolicy"]["Name"] in {"", "no"}
    assert config["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert facts["Config"]["User"].split(":")[0] != "0"
    assert list(facts["NetworkSettings"]["Networks"]) == networks(fleet)
    if fleet.kind == "docker":
        assert config["SecurityOpt"] == ["no-new-privileges:true"]
        assert config["MemorySwap"] == config["Memory"]


def test_a_container_reports_its_limits_to_the_kernel(containers: Fleet) -> None:
    running = containers.start(resources=Resources(0.5, 256))
    script = "cat /proc/1/status; touch /probe 2>&1; cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    script += " /sys/fs/cgroup/memory.max 2>/dev/null; true"
    said = docker("exec", running.handle, "sh", "-c", script)
    assert "NoNewPrivs:\t1" in said
    assert "CapBnd:\t0000000000000000" in said
    assert "Read-only file system" in said
    assert str(256 * 2**20) in said


def test_passwords_are_in_no_label_and_in_no_log(containers: Fleet) -> None:
    running = containers.start()
    facts = container_of(containers, running)
    assert any("secret" in one for one in facts["Config"]["Env"])
    assert "secret" not in json.dumps(facts["Config"]["Labels"])
    assert "secret" not in containers.output(running)


def test_one_that_stops_beating_is_shown_as_unwell(containers: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "WELL_S", 1)
    monkeypatch.setattr(container, "LOOKS_MAX", 2)
    stuck, paused = containers.start(), containers.start(number=1)

    def healths() -> dict[int, Health]:
        return {one.member.number: one.health for one in containers.runtime.list()}

    until(lambda: healths() == {0: Health.HEALTHY, 1: Health.HEALTHY}, "both are well")
    docker("pause", paused.handle)
    assert healths() == {0: Health.HEALTHY, 1: Health.UNHEALTHY}
    docker("exec", stuck.handle, "python", "-c", STOP_AGENT)
    until(lambda: healths()[0] is Health.UNHEALTHY, "it is seen to be stuck")


def test_a_fleets_network_goes_with_its_last_container(containers: Fleet) -> None:
    running = containers.start()
    assert networks(containers) == [f"swarmex-{containers.deployment.fleet}"]
    containers.start(number=1)
    assert len(networks(containers)) == 1
    containers.runtime.kill(running)
    until(lambda: len(containers.runtime.list()) == 1, "one is left")
    containers.runtime.tidy()
    assert len(networks(containers)) == 1
    containers.runtime.kill(containers.runtime.list()[0])
    containers.await_empty()
    containers.runtime.tidy()
    assert networks(containers) == []
    label = f"label=swarmex.fleet={containers.deployment.fleet}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""


def test_servers_that_containers_cannot_reach_are_told_before_a_start(containers: Fleet) -> None:
    deployment = replace(containers.deployment, redis_url="redis://127.0.0.1:1/0")
    runtime = choose(RuntimeChoice("docker", containers.image), deployment, os.environ)
    with pytest.raises(Unavailable) as refused:
        runtime.start(member())
    assert refused.value.code == "not_for_containers"
    assert "swarmex up" in str(refused.value.accepted)
    assert runtime.list() == []


@pytest.mark.parametrize("kind", ["containers", "services"])
def test_an_image_that_is_not_there_is_refused_with_what_to_do(kind: str, request: pytest.FixtureRequest) -> None:
    fleet: Fleet = request.getfixturevalue(kind)
    with pytest.raises(Unavailable) as refused:
        fleet.runtime.start(member(image="swarmex:none"))
    assert (refused.value.code, refused.value.field) == ("no_image", "SWARMEX_IMAGE")
    assert "make image" in str(refused.value.accepted)
    assert fleet.runtime.list() == []


def test_an_engine_that_is_not_there_is_told_with_what_to_do(
    containers: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(Unavailable) as refused:
        containers.successor()
    assert refused.value.code == "no_engine"
    assert "docker info" in str(refused.value.accepted)


def test_a_service_without_a_place_waits_and_is_not_started_twice(services: Fleet) -> None:
    choice = RuntimeChoice("swarm", services.image, "node.labels.kind==none-such")
    picky = choose(choice, services.deployment, os.environ)
    started = picky.start(member())
    until(
        lambda: "no suitable node" in docker("service", "ps", "--no-trunc", service_of(started)), "Swarm finds no place"
    )
    assert picky.list() == [started]
    assert picky.list()[0].health is Health.STARTING
    picky.kill(started)
    assert picky.list() == []
