"""The whole market as processes, as `swarmex up` runs it, with a buyer and nodes: for benchmarks and load."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from backend.bootstrap import Settings, Swarmex, utc_now
from backend.cli.deployment import Deployment
from backend.domain.access import Role
from backend.domain.fleet import AgentKind, FleetSpec
from backend.services import api_keys, fleet
from tests.forked import shared_zygote
from tests.market import Market

POOL = "load"
NODES = 4
SLOTS_PER_NODE = 50
FLEET = (
    FleetSpec("pricing", AgentKind.PRICING),
    FleetSpec("allocation", AgentKind.ALLOCATION),
    FleetSpec("settlement", AgentKind.SETTLEMENT),
    FleetSpec("api", AgentKind.API),
    FleetSpec("nodes", AgentKind.INFERENCE, ("--pool", POOL)),
)


@dataclass(frozen=True, slots=True)
class System:
    """A market that runs: where its API answers, and the key of a user with money."""

    url: str
    key: str
    market: Market

    @property
    def authorization(self) -> Mapping[str, str]:
        """The header that lets requests in."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def folder(self) -> Path:
        """The data folder, by which its processes are found."""
        return self.market.app.folder

    def node(self) -> tuple[str, Mapping[str, str]]:
        """Where the nodes themselves answer, and the header that lets requests in."""
        with self.market.app.engine.connect() as connection:
            statement = text("SELECT endpoint, token FROM agents WHERE kind = 'inference' AND state = 'up'")
            [agent] = connection.execute(statement)
        return agent.endpoint, {"Authorization": f"Bearer {agent.token}"}


@contextmanager
def running(
    database_url: str,
    node_database_url: str,
    redis_url: str,
    namespace: str,
    folder: Path,
    members: Sequence[FleetSpec] = FLEET,
) -> Iterator[System]:
    """A fleet on these servers, ready to serve the model `doubling`; ended, process by process, after the block."""
    market = Market(database_url, node_database_url, redis_url, namespace, folder)
    settings = Settings(
        data_folder=folder,
        database_url=database_url,
        node_database_url=node_database_url,
        redis_url=redis_url,
        bus_namespace=namespace,
        api_port=0,
        log_level="WARNING",
    )
    wired = Swarmex(settings, database_url, redis_url)
    deployment = Deployment(settings, _environment(settings))
    try:
        for number in range(NODES):
            market.node(f"node-{number}", SLOTS_PER_NODE, pool=POOL)
        market.node("node-cloud", SLOTS_PER_NODE, pool=POOL, kind="cloud")  # for the tiers that go to no other class
        key = api_keys.create_key(market.app.uow(), utc_now(), market.buyer.account_id, Role.USER, "load")
        fleet.set_desired(market.app.uow(), members)
        shared_zygote()
        deployment.start_manager(wired)
        yield System(deployment.await_ready(wired, members), key.secret, market)
    finally:
        deployment.stop()
        wired.close()
        market.close()


def _environment(settings: Settings) -> dict[str, str]:
    """The same settings for processes."""
    return {f"SWARMEX_{name.upper()}": str(value) for name, value in settings if value is not None}
