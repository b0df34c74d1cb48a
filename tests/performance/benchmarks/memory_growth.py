"""What each kind of process grows by while 100,000 orders pass through the whole system as it runs."""

import time
from collections import defaultdict
from collections.abc import Iterator

import httpx
import psutil
from sqlalchemy import text

from backend.cli import processes
from backend.domain.fleet import AgentKind
from tests.fleets import members_of
from tests.market import REQUEST
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target
from tests.performance.system import POOL, System

ORDERS = 100_000
BATCH = 1_000
IN_FLIGHT = 4_000
WARM_UP = 5_000
NODES = 20
SLOTS_PER_NODE = 200  # together a place for each order in flight
LIMIT_S = 150.0  # from the start; a benchmark has three minutes, of which the end of it needs some
GROWTH_MAX_MB = 20.0
POLL_S = 0.02
TIMEOUT_S = 30.0
END_MAX_S = 15.0  # for what is in flight at the deadline
BODY = {"workload": "inference", "model": "doubling", "tier": "medium", "requests": [REQUEST], "deadline_s": 600}


def run(bench: Bench) -> Iterator[Row]:
    """Orders come over the API in batches of 1,000 and are run by a model; memory is what the kernel counts (RSS).

    A row a kind, and one for how many orders passed in time: fewer than all of them keep no promise.
    """
    deadline = time.monotonic() + LIMIT_S
    with bench.system() as system:
        for number in range(NODES):
            system.market.node(f"wide-{number}", SLOTS_PER_NODE, pool=POOL)
        with httpx.Client(base_url=system.url, headers=system.authorization, timeout=TIMEOUT_S) as client:
            flow = Flow(system, client, bench)
            flow.take(WARM_UP, deadline)
            load_engine(system)
            before = memory_mb(system)
            passed = flow.take(ORDERS, deadline)
            after = memory_mb(system)
    assert before.keys() == after.keys(), "a process died"
    growth: dict[AgentKind, float] = defaultdict(float)
    for (kind, pid), size in after.items():
        growth[kind] = max(growth[kind], size - before[kind, pid])
    yield Row(
        "memory_growth_orders",
        passed,
        "orders passed meanwhile",
        "asked for",
        ORDERS,
        passed / ORDERS,
        Target("value", "≥", ORDERS),
    )
    for kind in sorted(growth):
        start = max(size for (of, _), size in before.items() if of is kind)
        yield Row(
            f"memory_growth_{kind}",
            growth[kind],
            f"MB more after {passed:,} orders",
            "MB before",
            start,
            growth[kind] / start,
            Target("value", "≤", GROWTH_MAX_MB),
        )


class Flow:
    """A steady stream of orders, with so many in flight."""

    def __init__(self, system: System, client: httpx.Client, bench: Bench) -> None:
        self._market = system.market
        self._client = client
        self._bench = bench

    def take(self, count: int, deadline: float) -> int:
        """Let so many orders pass, or as many as do before the deadline; returns how many did."""
        placed = 0
        while placed < count and time.monotonic() < deadline:
            if self.in_flight() <= IN_FLIGHT - BATCH:
                self._place()
                placed += BATCH
            else:
                time.sleep(POLL_S)
        while left := self.in_flight():
            if time.monotonic() > deadline + END_MAX_S:
                raise TimeoutError(f"{left} orders have not ended")
            time.sleep(POLL_S)
        return placed

    def in_flight(self) -> int:
        """How many orders have not ended; indexes know, however many have."""
        statement = text("SELECT count(*) FROM orders WHERE state = 'open' OR state IN ('running', 'closing')")
        with self._market.app.engine.connect() as connection:
            return int(connection.execute(statement).scalar_one())

    def _place(self) -> None:
        answer = self._client.post("/api/v1/orders:batch", json={"orders": [BODY] * BATCH})
        answer.raise_for_status()
        assert all(result["order"] for result in answer.json()["results"]), "an order was refused"
        self._bench.step()


def load_engine(system: System) -> None:
    """Have the pricing agent check canaries now: with the first ones it loads an engine, once and for all.

    One that starts does so at once, if work has been done by then.
    """
    [pricing] = [process for process, member in members_of(system.folder) if member.kind is AgentKind.PRICING]
    pricing.terminate()
    deadline = time.monotonic() + TIMEOUT_S
    checked = text("SELECT 1 FROM audit_log WHERE action = 'trust.check'")
    while True:
        with system.market.app.engine.connect() as connection:
            if connection.execute(checked).first():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"no canaries were checked within {TIMEOUT_S} s")
        time.sleep(POLL_S)


def memory_mb(system: System) -> dict[tuple[AgentKind, int], float]:
    """Resident memory of every process of the fleet and of its manager, in MB of 10⁶ bytes."""
    manager = processes.manager_of(system.folder)
    assert manager is not None
    of_members = {(member.kind, process.pid): _mb(process) for process, member in members_of(system.folder)}
    return of_members | {(AgentKind.MANAGER, manager.pid): _mb(manager)}


def _mb(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6
