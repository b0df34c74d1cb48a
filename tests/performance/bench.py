"""What a benchmark is given: servers, markets on databases of their own, and a way to show that it gets on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.domain.fleet import FleetSpec
from tests.market import Market
from tests.performance.pairs import ROUNDS, Measure, Pairs, measure
from tests.performance.servers import DurableServers
from tests.performance.system import FLEET, System, running

POOL = "pool"
NODES = 20
SLOTS_PER_NODE = 50  # together a place for each order of the largest batch


@dataclass(frozen=True, slots=True)
class Bench:
    """For one benchmark; `step` is called after each of its rounds."""

    name: str
    servers: DurableServers
    step: Callable[[], None]

    @contextmanager
    def market(self) -> Iterator[Market]:
        """A market on a new database with a buyer, a model, and nodes for 1,000 orders at once."""
        self.servers.empty_redis()
        url = self.servers.database()
        market = Market(url, self.servers.node_url(url), self.servers.redis_url, self.name, self._folder())
        try:
            for number in range(NODES):
                market.node(f"node-{number}", SLOTS_PER_NODE, pool=POOL)
            yield market
        finally:
            market.close()

    @contextmanager
    def system(self, members: Sequence[FleetSpec] = FLEET) -> Iterator[System]:
        """The whole market as processes, on a new database."""
        self.servers.empty_redis()
        url = self.servers.database()
        redis_url, node_url = self.servers.redis_url, self.servers.node_url(url)
        with running(url, node_url, redis_url, self.name, self._folder(), members) as system:
            yield system

    def pairs(self, ours: Measure, reference: Measure, rounds: int = ROUNDS) -> Pairs:
        """Both, measured in turns."""
        return measure(ours, reference, self.step, rounds)

    def _folder(self) -> Path:
        folder = self.servers.folder / self.name
        folder.mkdir(exist_ok=True)
        return folder
