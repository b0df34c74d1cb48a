"""Seconds from the death of an inference agent in mid-work until its work runs again, with default settings."""

import signal
import time
from collections.abc import Callable, Iterator
from random import Random
from statistics import median
from typing import Any

import psutil
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.cli import processes
from backend.domain.fleet import AgentKind, FleetSpec
from backend.storage.order_rows import Order
from tests.market import Market
from tests.onnx_files import write_slow
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target
from tests.performance.system import FLEET, System

ROUNDS = 3
SEED = 1
MULTIPLICATIONS = 900  # one to three seconds of work: whoever is killed is still at it
RECOVERY_MAX_S = 5.0
WAIT_S = 60.0
POLL_S = 0.005
PAIR = "pair"
SINGLE = "single"
MEMBERS = (
    *(member for member in FLEET if member.kind is not AgentKind.INFERENCE),
    FleetSpec(PAIR, AgentKind.INFERENCE, ("--pool", PAIR), replicas=2),
    # One for each round: who dies again and again is started ever later, which is not what is asked here.
    *(FleetSpec(f"{SINGLE}-{n}", AgentKind.INFERENCE, ("--pool", f"{SINGLE}-{n}")) for n in range(ROUNDS)),
)
RUNNING = """
    SELECT a.pid, i.attempt, i.claimed_at FROM work_items i JOIN agents a ON a.id = i.agent_id
    WHERE i.order_id = :order AND i.state = 'running'
"""


def run(bench: Bench) -> Iterator[Row]:
    """Once where another agent of the pool lives, and once where its own replacement has to start.

    The agent is killed (SIGKILL) while it runs an item. The limit is for the worst round.
    """
    with bench.system(MEMBERS) as system:
        market = system.market
        market.register("slow", write_slow(system.folder / "slow.onnx", MULTIPLICATIONS))
        for pool in (PAIR, *(f"{SINGLE}-{number}" for number in range(ROUNDS))):
            market.node(pool, pool=pool, region=pool)
        dice = Random(SEED)
        yield _row("dead_agent_recovery", [_recovery_s(system, PAIR, dice, bench.step) for _ in range(ROUNDS)])
        alone = [_recovery_s(system, f"{SINGLE}-{number}", dice, bench.step) for number in range(ROUNDS)]
        yield _row("dead_agent_recovery_alone", alone)


def _recovery_s(system: System, region: str, dice: Random, step: Callable[[], None]) -> float:
    """Kill who runs an item of that region's; seconds until the item runs again."""
    market = system.market
    _until(lambda: _living(market, region) == (2 if region == PAIR else 1), f"{region} is complete")
    [order] = market.place(model="slow", region=region, deadline_s=600)
    _until(lambda: _running(market, order, attempt=1), "the item runs")
    victim = psutil.Process(_running(market, order, attempt=1)[0].pid)
    # Not at the same moment of every round: the manager, the sweeper and the heartbeats have their own rhythms.
    time.sleep(dice.uniform(0.1, 0.5))
    assert victim in processes.members_of(system.folder)
    killed_at = utc_now()
    victim.send_signal(signal.SIGKILL)
    _until(lambda: _running(market, order, attempt=2), "the item runs again")
    again_at = _running(market, order, attempt=2)[0].claimed_at
    _until(lambda: market.show(order).closed_at, "the order has ended")
    step()
    return float((again_at - killed_at).total_seconds())


def _running(market: Market, order: Order, attempt: int) -> list[Any]:
    """The item of the order, if that attempt at it runs."""
    with market.app.engine.connect() as connection:
        rows = connection.execute(text(RUNNING), {"order": order.id})
        return [row for row in rows if row.attempt == attempt]


def _living(market: Market, pool: str) -> int:
    """How many agents of a pool have beaten in the last seconds."""
    statement = "SELECT 1 FROM agents WHERE queue = :queue AND state = 'up' AND beat_at > now() - interval '2 s'"
    with market.app.engine.connect() as connection:
        return len(connection.execute(text(statement), {"queue": f"pool.{pool}"}).all())


def _until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {WAIT_S} s: {what}")
        time.sleep(POLL_S)


def _row(name: str, seconds: list[float]) -> Row:
    worst, usual = max(seconds), median(seconds)
    return Row(
        name,
        worst,
        f"s until its work runs again, the worst of {len(seconds)}",
        "s, the median",
        usual,
        worst / usual,
        Target("value", "≤", RECOVERY_MAX_S),
    )
