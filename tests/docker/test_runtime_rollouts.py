"""A changed entry on a real cluster: Swarm replaces its members in their places, and rolls back what does not work."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents.manager.fleet import Fleet as Managed
from agents.runtimes import container, swarm_cluster
from agents.runtimes.base import Running
from agents.runtimes.swarm_services import service_of
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.health import Health
from backend.storage.agents import Sight
from tests.docker.containers import docker
from tests.docker.fleets import Fleet, fleet_of
from tests.unit.agents.runtime import Notes, sight
from tests.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ENTRY = FleetSpec("m", AgentKind.PRICING, ("first",), 2)


class Manager:
    """What a manager does with a fleet, step by step; agents are known when Swarm says that they are well."""

    def __init__(self, fleet: Fleet) -> None:
        self.runtime = fleet.runtime
        self.notes = Notes()
        self._managed = Managed(fleet.runtime, self.notes)
        self._lives: dict[str, int] = {}
        self._steps = 0

    def step(self, wanted: FleetSpec) -> list[Running]:
        """One reconcile, and who is there."""
        self._steps += 1
        self._managed.reconcile([wanted], [self._sight(one) for one in self._well()], time.monotonic())
        return self.runtime.list()

    def follow(self, wanted: FleetSpec) -> None:
        """Step on until everybody is as wanted, and well."""
        until(lambda: self._shows(wanted, self.step(wanted)), f"all are as {wanted}")

    def _shows(self, wanted: FleetSpec, there: list[Running]) -> bool:
        images = [one.member.image for one in there if one.health is Health.HEALTHY]
        return images == [wanted.image] * wanted.replicas

    def _well(self) -> list[Running]:
        return [one for one in self.runtime.list() if one.health is Health.HEALTHY]

    def _sight(self, running: Running) -> Sight:
        life = self._lives.setdefault(running.handle, len(self._lives))
        return sight(running.member.label, self._steps, life=life)


@pytest.fixture
def services(stub_image: str, cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A fleet on the cluster, whose updates are watched for a second."""
    for watched in (swarm_cluster.UPDATE, swarm_cluster.ROLLBACK):
        monkeypatch.setitem(watched, "Monitor", container.S)
    with fleet_of("swarm", stub_image, tmp_path) as fleet:
        yield fleet


@pytest.fixture
def other_image(stub_image: str) -> str:
    """The same program under another name."""
    docker("tag", stub_image, "swarmex-stub:other")
    return "swarmex-stub:other"


def test_a_changed_image_is_rolled_over_in_the_services_that_are_there(services: Fleet, other_image: str) -> None:
    manager = Manager(services)
    manager.follow(ENTRY)
    before = {service_of(one) for one in services.runtime.list()}
    changed = replace(ENTRY, image=other_image, arguments=("second",))
    manager.follow(changed)
    assert {service_of(one) for one in services.runtime.list()} == before
    said = [services.output(one) for one in services.runtime.list()]
    assert all("second" in one for one in said), "it is another program"
    assert manager.notes == Notes(), "Swarm did it, and nobody died"


def test_an_image_that_does_not_work_is_rolled_back_told_and_not_tried_again(
    services: Fleet, broken_image: str
) -> None:
    manager = Manager(services)
    manager.follow(ENTRY)
    there = services.runtime.list()
    broken = replace(ENTRY, image=broken_image)
    until(lambda: manager.step(broken) and manager.notes.rolled_back, "it is told of")
    state = "{{with .UpdateStatus}}{{.State}}{{end}}"
    ids = [service_of(one) for one in there]

    def states() -> str:
        return docker("service", "inspect", "--format", state, *ids)

    until(lambda: "rollback_completed" in states(), "Swarm has rolled it back")
    until(lambda: all(one.health is Health.HEALTHY for one in manager.step(broken)), "both are well")
    for _ in range(5):
        assert manager.step(broken) == there
    assert manager.notes == Notes(rolled_back=["m-1"])
    assert "updating" not in states()
