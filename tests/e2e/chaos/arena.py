"""A whole market under its manager with orders in flight, and the hands that break parts of it."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import psutil
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from backend.bootstrap import Settings, Swarmex, utc_now
from backend.cli import processes
from backend.cli.deployment import Deployment
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.ids import OrderId
from backend.services import fleet, orders
from backend.storage.order_rows import Order
from tests.e2e.chaos.proof import prove
from tests.e2e.chaos.recovery import Recovery, recovery
from tests.e2e.chaos.servers import BreakableServers
from tests.fleets import members_of
from tests.forked import Forked, shared_zygote
from tests.market import Market
from tests.onnx_files import request, write_doubling, write_slow
from tests.waiting import PATIENCE_S

POOL = "arena"
NODES = 4
SLOTS_PER_NODE = 600  # together a place for each order, so that all of them are in flight at once
FLEET = (
    FleetSpec("pricing", AgentKind.PRICING),
    FleetSpec("allocation", AgentKind.ALLOCATION),
    FleetSpec("settlement", AgentKind.SETTLEMENT),
    FleetSpec("api", AgentKind.API),
    FleetSpec("inference", AgentKind.INFERENCE, ("--pool", POOL), replicas=2),
)
BATCH = 1_000
DOOMED = 5  # orders of a model whose file was exchanged: they must fail, with a reason
BATCHES_SHARE = 20  # every so many orders has several items
ITEMS = 4
DEADLINE_S = 900
END_MAX_S = 300.0
POLL_S = 0.05
END_POLL_S = 0.25  # to count 2,000 orders is work too, which the agents wait for
OUTPUT = b'"data":[2.0,4.0]'
LOG_TAIL = 1_500


class Arena:
    """One market for one scenario; everything in it is a process, as in a deployment."""

    def __init__(self, servers: BreakableServers, folder: Path, namespace: str, seed: str, **settings: Any) -> None:
        self.servers = servers
        self.folder = folder
        self.seed = seed
        self.dice = Random(seed)
        url = servers.database()
        # Where containers are to come in, the other Redis listens for them.
        redis_url = servers.redis.url if settings.get("runtime", "process") == "process" else servers.redis_url
        self.market = Market(url, servers.node_url(url), redis_url, namespace, folder)
        self.settings = Settings(
            data_folder=folder,
            database_url=url,
            node_database_url=servers.node_url(url),
            redis_url=redis_url,
            bus_namespace=namespace,
            api_port=0,
            **settings,
        )
        self.environment = {f"SWARMEX_{k.upper()}": str(v) for k, v in self.settings if v is not None}
        self._wired = Swarmex(self.settings, url, redis_url)
        self._deployment = Deployment(self.settings, self.environment)
        self._fleet: tuple[FleetSpec, ...] = FLEET
        self.placed: list[OrderId] = []
        self._struck_at: datetime | None = None
        self.faults: list[str] = []
        self._own: list[Forked] = []

    def open(self) -> None:
        """Nodes, a model that takes some milliseconds, one that cannot be run, and the fleet; returns when all live."""
        for number in range(NODES):
            self.market.node(f"node-{number}", SLOTS_PER_NODE, pool=POOL)
        self.market.register("brisk", write_slow(self.folder / "brisk.onnx", 1))
        forged = self.market.register("forged", write_doubling(self.folder / "forged.onnx", factor=3.0))
        (self.folder / "objects" / forged.ref.uri).write_bytes(b"not the model")
        fleet.set_desired(self.market.app.uow(), FLEET)
        self.start_manager()
        self.await_fleet()

    def join(self, member: FleetSpec) -> None:
        """Let the manager look after one more; returns when it lives."""
        self._fleet = (*self._fleet, member)
        fleet.set_desired(self.market.app.uow(), self._fleet)
        self.await_fleet()

    def start_manager(self) -> None:
        """Start a manager unless one lives; returns at once."""
        shared_zygote()
        self._deployment.start_manager(self._wired)

    def start_agent(self, name: str, *arguments: str) -> Forked:
        """Start an inference agent of the arena's pool that no manager looks after."""
        environment = dict(self.environment) | {"SWARMEX_AGENT_NAME": name}
        del environment["SWARMEX_DATABASE_URL"]
        log = self.folder / "logs" / f"{name}.log"
        process = Forked("agents.__main__", ("inference", "--pool", POOL, *arguments), environment, log)
        self._own.append(process)
        self.until(lambda: self.query("SELECT 1 FROM agents WHERE name = :name", name=name), f"{name} is up")
        return process

    def flood(self, count: int) -> None:
        """Put so many orders into flight, a few of them doomed; all of them wait or run when this returns."""
        kinds: list[dict[str, object]] = [{"model": "brisk"} for _ in range(count)]
        for number in range(0, count, BATCHES_SHARE):
            kinds[number] = {"model": "brisk", "workload": "batch", "requests": [request((1.0, 2.0))] * ITEMS}
        for number in self.dice.sample(range(count), DOOMED):
            kinds[number] = {"model": "forged"}
        requests = [self.market.request(deadline_s=DEADLINE_S, **kind) for kind in kinds]
        for start in range(0, count, BATCH):
            chosen = requests[start : start + BATCH]
            placed = orders.place_orders(self.market.app.uow(), utc_now(), self.market.buyer, chosen)
            assert all(isinstance(result, Order) for result in placed.results), placed.results
            self.placed += [result.id for result in placed.results if isinstance(result, Order)]

    def await_moment(self, earliest: float = 0.02, latest: float = 0.5) -> None:
        """Wait until a share of the orders that the dice choose has ended."""
        share = self.dice.uniform(earliest, latest)
        wanted = int(share * len(self.placed))
        self.until(lambda: self.ended() >= wanted, f"{wanted} of {len(self.placed)} orders have ended")

    def strike(self, fault: str) -> None:
        """Note that a fault happens now; the first one counts."""
        self._struck_at = self._struck_at or utc_now()
        self.faults.append(f"{fault} after {self.ended()} of {len(self.placed)}" if self.placed else fault)

    def members(self, kind: AgentKind) -> dict[str, psutil.Process]:
        """The processes of a kind, by their names."""
        found = {}
        for process, member in members_of(self.folder):
            if member.kind is kind:
                found[member.label] = process
        return found

    def kill(self, kind: AgentKind) -> str:
        """SIGKILL a member of a kind that the dice choose, or the manager; returns its name."""
        if kind is AgentKind.MANAGER:
            name, victim = "the manager", processes.manager_of(self.folder)
            assert victim is not None
        else:
            name, victim = self.dice.choice(sorted(self.members(kind).items()))
        self.strike(f"{name} killed")
        victim.send_signal(signal.SIGKILL)
        psutil.wait_procs([victim], timeout=PATIENCE_S)
        return name

    def ended(self) -> int:
        """How many orders have ended."""
        return int(
            self.query(
                "SELECT count(*) AS n FROM orders WHERE id = ANY(:ids) AND closed_at IS NOT NULL", ids=self.placed
            )[0].n
        )

    def await_ended(self) -> Recovery:
        """Wait until every order has ended, and prove that all is well; what it took."""
        self.until(
            lambda: self.ended() == len(self.placed), f"all {len(self.placed)} orders have ended", END_MAX_S, END_POLL_S
        )
        self.prove()
        rows = self.query("SELECT closed_at, state FROM orders WHERE id = ANY(:ids)", ids=self.placed)
        again = self.query(
            "SELECT i.claimed_at FROM work_items i"
            " JOIN orders o ON o.id = i.order_id JOIN models m ON m.id = o.model_id"
            " WHERE o.id = ANY(:ids) AND i.attempt > 1 AND m.name <> 'forged'",
            ids=self.placed,
        )
        assert self._struck_at is not None, "nothing was broken"
        failed = sum(row.state != "settled" for row in rows)
        assert failed >= DOOMED
        return recovery(
            ", ".join(self.faults),
            self._struck_at,
            [row.closed_at for row in rows],
            failed,
            [row.claimed_at for row in again],
        )

    def prove(self) -> None:
        """Check that each order has ended with one effect or a reason, and the books."""
        prove(self.market, self.market.buyer, self.placed, self.query, OUTPUT)

    def await_fleet(self) -> None:
        """Wait until every wanted member lives."""
        self._deployment.await_ready(self._wired, self._fleet)

    def query(self, statement: str, **binds: object) -> list[Any]:
        """Rows of the database as it is."""
        with self.market.app.engine.connect() as connection:
            return list(connection.execute(text(statement), binds))

    def until(
        self, holds: Callable[[], object], what: str, timeout_s: float = PATIENCE_S, poll_s: float = POLL_S
    ) -> None:
        """Wait until something holds, the database being away meanwhile or not."""
        deadline = time.monotonic() + timeout_s
        while True:
            with suppress(SQLAlchemyError):
                if holds():
                    return
            if time.monotonic() > deadline:
                raise AssertionError(f"seed {self.seed}: not within {timeout_s} s: {what}\n{self.last_words()}")
            time.sleep(poll_s)

    def log(self, name: str) -> str:
        """All that a member wrote, before its last restart too."""
        parts = [self.folder / "logs" / f"{name}.log{end}" for end in (".1", "")]
        return "".join(part.read_text(errors="replace") for part in parts if part.exists())

    def last_words(self) -> str:
        """The faults, how far the orders are, and the ends of the logs."""
        return "\n".join(["; ".join(self.faults), *self._states(), *self._tails()])

    def close(self) -> None:
        """Kill everything: whether a fleet leaves in order is another test's question."""
        manager = processes.manager_of(self.folder)
        for process in [*([manager] if manager else []), *processes.members_of(self.folder)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for own in self._own:
            own.kill()
            own.wait()
        self._deployment.stop()
        self._wired.close()
        self.market.close()

    def _states(self) -> Iterator[str]:
        with suppress(SQLAlchemyError):
            for table, column in (("orders", "id"), ("work_items", "order_id")):
                rows = self.query(
                    f"SELECT state, count(*) AS n FROM {table} WHERE {column} = ANY(:ids) GROUP BY 1", ids=self.placed
                )
                yield f"{table}: " + ", ".join(f"{row.n} {row.state}" for row in rows)

    def _tails(self) -> Iterator[str]:
        for path in sorted((self.folder / "logs").glob("*.log")):
            yield f"--- {path.name}\n{path.read_text(errors='replace')[-LOG_TAIL:]}"
