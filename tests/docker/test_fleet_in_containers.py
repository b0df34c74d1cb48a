"""A manager whose fleet runs in containers: work is done and paid, requests are answered, and all of it is adopted."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from backend.bootstrap import Settings, Swarmex, utc_now
from backend.cli import processes
from backend.cli.deployment import Deployment
from backend.domain.access import Role
from backend.domain.fleet import AgentKind, FleetSpec, fleet_label
from backend.domain.orders import OrderState
from backend.services import accounts, audit, fleet
from tests.docker.containers import docker
from tests.docker.fleets import until
from tests.market import REQUEST, Market

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("docker")]

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
        self.folder = settings.folder
        environment = {f"SWARMEX_{name.upper()}": str(value) for name, value in settings if value is not None}
        self.deployment = Deployment(settings, environment)

    def start_manager(self) -> str:
        """Start the manager; the API's URL once everybody is up."""
        self.deployment.start_manager(self.wired)
        return self.deployment.await_ready(self.wired, FLEET)

    def containers(self, *options: str) -> set[str]:
        """Ids of the fleet's containers."""
        label = f"label=swarmex.fleet={self.label}"
        return set(docker("ps", "--quiet", "--no-trunc", "--filter", label, *options).split())

    def tells(self, event: str) -> int:
        """How often the managers have told of such an event."""
        return self.deployment.manager_log.read_text().count(f'"{event}"')

    def close(self) -> None:
        """Stop everything; what its manager could not remove is removed here."""
        self.deployment.stop()
        self.wired.close()
        self.market.close()
        if left := self.containers("--all"):
            docker("rm", "--force", *left)
        with suppress(AssertionError):
            docker("network", "rm", f"swarmex-{self.label}")


@pytest.fixture
def containers(
    image: str, database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> Iterator[ContainerFleet]:
    """Nothing runs yet."""
    market = Market(database_url, node_database_url, redis_url, namespace, tmp_path)
    settings = Settings(
        data_folder=tmp_path,
        database_url=database_url,
        node_database_url=node_database_url,
        redis_url=redis_url,
        bus_namespace=namespace,
        api_port=0,
        runtime="docker",
        image=image,
    )
    made = ContainerFleet(market, settings)
    try:
        yield made
    finally:
        made.close()


def test_a_fleet_in_containers_works_is_adopted_and_leaves_nothing_behind(containers: ContainerFleet) -> None:
    market = containers.market
    market.node("a", slots=4, pool=POOL)
    fleet.set_desired(market.app.uow(), FLEET)
    url = containers.start_manager()
    running = containers.containers()
    assert len(running) == len(FLEET)

    [order] = market.place()
    until(lambda: market.show(order).closed_at, "the order has ended")
    assert market.show(order).state is OrderState.SETTLED
    key = accounts.create_key(market.app.uow(), utc_now(), market.buyer.account_id, Role.USER, "test")
    answer = httpx.post(url + PATH, json=REQUEST, headers={"Authorization": f"Bearer {key.secret}"}, timeout=30)
    assert answer.json()["outputs"][0]["data"] == [2.0, 4.0], answer.text

    manager = processes.manager_of(containers.folder)
    assert manager is not None
    manager.send_signal(signal.SIGKILL)
    until(lambda: processes.manager_of(containers.folder) is None, "the manager is dead")
    assert containers.start_manager() == url
    until(lambda: containers.tells("member.found") == len(FLEET), "its successor has found everybody")
    assert containers.containers() == running

    containers.deployment.stop()
    assert containers.containers("--all") == set()
    assert docker("network", "ls", "--quiet", "--filter", f"label=swarmex.fleet={containers.label}") == ""
    assert audit.audit_ledger(market.app.uow()).ok
