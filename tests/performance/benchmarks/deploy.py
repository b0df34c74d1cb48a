"""An agent in a container: from the runtime's start until it is well, held against what the engine alone takes."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

from agents.manager.agent import deployment_of
from agents.runtimes.base import Member, Runtime
from agents.runtimes.choice import RuntimeChoice, choose, default_image
from agents.runtimes.engine import connect
from backend.domain.errors import SwarmexError
from backend.domain.fleet import AgentKind
from backend.domain.health import Health
from tests.performance.bench import POOL, Bench
from tests.performance.rows import Row, Target

ROUNDS = {1: 3, 10: 1}  # by how many are deployed at once
SECONDS_MAX = {1: 3.0, 10: 10.0}
NAMES = {1: "deploy_one", 10: "deploy_ten"}
WELL_MAX_S = 60.0
POLL_S = 0.1


def run(bench: Bench) -> Iterator[Row]:
    """Inference agents, which import the most; everything is real, and nothing is left."""
    with bench.market() as market:
        shared = deployment_of(market.app)
        node_url = bench.servers.node_url(shared.database_url)
        try:
            runtime = choose(
                RuntimeChoice("docker"), replace(shared, node_database_url=lambda: node_url), dict(os.environ)
            )
            _deploy(runtime, 1, bench.step)
            _engine_alone(1)
        except SwarmexError as error:
            yield from _not_measured(error)
            return
        for count, rounds in ROUNDS.items():
            pairs = [(_deploy(runtime, count, bench.step), _engine_alone(count)) for _ in range(rounds)]
            ours, alone = (median(figures) for figures in zip(*pairs, strict=True))
            yield _row(count, ours, "s for the engine alone", alone, median(one / other for one, other in pairs))


def _deploy(runtime: Runtime, count: int, step: Callable[[], None]) -> float:
    """Seconds from the first start until all are well; they are gone again afterwards."""
    began = time.monotonic()
    for number in range(count):
        runtime.start(Member("deploy", number, AgentKind.INFERENCE, ("--pool", POOL)))
    try:
        while [one.health for one in runtime.list()] != [Health.HEALTHY] * count:
            assert time.monotonic() - began < WELL_MAX_S, "not all agents got well"
            time.sleep(POLL_S)
        return time.monotonic() - began
    finally:
        for running in runtime.list():
            runtime.kill(running)
        while runtime.list():
            time.sleep(POLL_S)
        runtime.tidy()
        step()


def _engine_alone(count: int) -> float:
    """Seconds until as many containers of the same image run a program that imports nothing."""
    engine = connect()
    began = time.monotonic()
    made = [engine.create_container(default_image(), entrypoint=["sleep", "60"])["Id"] for _ in range(count)]
    try:
        for container in made:
            engine.start(container)
        return time.monotonic() - began
    finally:
        for container in made:
            engine.remove_container(container, force=True)


def _not_measured(error: SwarmexError) -> Iterator[Row]:
    """Rows that keep no promise, with the reason."""
    for count in ROUNDS:
        yield _row(count, float("inf"), f"not measured: {error.message}", None, None)


def _row(count: int, seconds: float, reference: str, reference_s: float | None, ratio: float | None) -> Row:
    target = Target("value", "≤", SECONDS_MAX[count])
    return Row(NAMES[count], seconds, "s until all are well", reference, reference_s, ratio, target)
