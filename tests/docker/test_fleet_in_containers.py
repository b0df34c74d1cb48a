"""A manager whose fleet runs in containers: work is done and paid, requests are answered, and all of it is adopted."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from backend.bootstrap import Settings, Swarmex, utc_now
from backend.cli import processes
from backend.cli.deployment import Deployment
from backend.domain.access import Role
from backend.domain.fleet import AgentKind, FleetSpec, fleet_label
from backend.domain.orders import OrderState
from backend.services import api_keys, audit, fleet, incidents
from tests.docker.containers import docker
from tests.market import REQUEST, Market
from tests.waiting import PATIENCE_S, until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

POOL = "fog"
FLEET = (
    FleetSpec("allocation", AgentKind.ALLOCATION),
    FleetSpec("settlement", AgentKind.SETTLEMENT),
    FleetSpec("api", AgentKind.API),
    FleetSpec("pool", AgentKind.INFERENCE, ("--pool", POOL)),
)
PATH = "/v2/models/doubling/versions/1/infer"


class ContainerFleet:
    """A market, its manager as a process of this machine, and the manager's members in containers."""

    def __init__(self, market: Market, settings: Settings) -> None:
        self.market = market
        self.label = fleet_label(str(settings.folder))
        self.wired = Swarmex(settings, settings.database_url or "", settings.redis_url or "")
        self.ours = ("--filter", f"label=swarmex.fleet={self.label}")
        self.runtime = settings.runtime
        self.folder = settings.folder
        environment = {f"SWARMEX_{name.upper()}": str(value) for name, value in settings if value is not None}
        self.deployment = Deployment(settings, environment)

    def start_manager(self) -> str:
        """Start the manager; the API's URL once everybody is up."""
        self.deployment.start_manager(self.wired)
        return self.deployment.await_ready(self.wired, FLEET)

    def containers(self, *options: str) -> set[str]:
        """Ids of the fleet's containers."""
        return set(docker("ps", "--quiet", "--no-trunc", *self.ours, *options).split())

    def tells(self, event: str) -> int:
        """How often the managers have told of such an event."""
        return self.deployment.manager_log.read_text().count(f'"{event}"')

    def networks(self) -> str:
        """Ids of the fleet's networks."""
        return docker("network", "ls", "--quiet", *self.ours)

    def close(self) -> None:
        """Stop everything; what its manager could not remove is removed here."""
        self.deployment.stop()
        self.wired.close()
        self.market.close()
        if self.runtime == "swarm" and (left := docker("service", "ls", "--quiet", *self.ours).split()):
            docker("service", "rm", *left)
        if left := list(self.containers("--all")):
            docker("rm", "--force", *left)
        with suppress(AssertionError):
            docker("network", "rm", f"swarmex-{self.label}")


@pytest.fixture(params=["docker", "swarm"])
def containers(
    request: pytest.FixtureRequest,
    image: str,
    database_url: str,
    node_database_url: str,
    redis_url: str,
    namespace: str,
    tmp_path: Path,
) -> Iterator[ContainerFleet]:
    """Nothing runs yet."""
    if request.param == "swarm":
        request.getfixturevalue("cluster")
    market = Market(database_url, node_database_url, redis_url, namespace, tmp_path)
    settings = Settings(
        data_folder=tmp_path,
        database_url=database_url,
        node_database_url=node_database_url,
        redis_url=redis_url,
        bus_namespace=namespace,
        api_port=0,
        runtime=request.param,
        image=image,
    )
    made = ContainerFleet(market, settings)
    try:
        yield made
    finally:
        made.close()


def change_to_what_does_not_work(containers: ContainerFleet, image: str) -> None:
    """Swarm rolls the entry's member back, somebody is told, and the one before works on."""
    market = containers.market
    changed = [replace(spec, image=image if spec.kind is AgentKind.INFERENCE else None) for spec in FLEET]
    fleet.set_desired(market.app.uow(), changed)
    until(lambda: containers.tells("member.rolled_back"), "it is rolled back")
    until(lambda: incidents.list_incidents(market.app.uow(), "open", "crash_loop"), "an operator can see it")
    [order] = market.place()
    until(lambda: market.show(order).state is OrderState.SETTLED, "the one before works again")
    assert containers.tells("member.replaced") == 1


def test_a_fleet_in_containers_works_is_adopted_and_leaves_nothing_behind(
    containers: ContainerFleet, request: pytest.FixtureRequest
) -> None:
    market = containers.market
    market.node("a", slots=4, pool=POOL)
    fleet.set_desired(market.app.uow(), FLEET)
    url = containers.start_manager()
    running = containers.containers()
    assert len(running) == len(FLEET)

    [order] = market.place()
    until(lambda: market.show(order).closed_at, "the order has ended")
    assert market.show(order).state is OrderState.SETTLED
    key = api_keys.create_key(market.app.uow(), utc_now(), market.buyer.account_id, Role.USER, "test")
    answer = httpx.post(url + PATH, json=REQUEST, headers={"Authorization": f"Bearer {key.secret}"}, timeout=PATIENCE_S)
    assert answer.json()["outputs"][0]["data"] == [2.0, 4.0], answer.text

    manager = processes.manager_of(containers.folder)
    assert manager is not None
    manager.send_signal(signal.SIGKILL)
    until(lambda: processes.manager_of(containers.folder) is None, "the manager is dead")
    assert containers.start_manager() == url
    until(lambda: containers.tells("member.found") == len(FLEET), "its successor has found everybody")
    assert containers.containers() == running

    if containers.runtime == "swarm":
        change_to_what_does_not_work(containers, request.getfixturevalue("broken_image"))
    containers.deployment.stop()
    until(lambda: containers.containers("--all") == set(), "nobody is left")
    until(lambda: containers.networks() == "", "nor a network")
    assert audit.audit_ledger(market.app.uow()).ok
