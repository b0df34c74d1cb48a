"""Agents in containers: one is frozen by the engine, as a machine that hangs, and given up by its manager."""

from collections.abc import Callable

import pytest

from backend.domain.fleet import fleet_label
from tests.docker.conftest import image, version  # noqa: F401  # fixtures, of a folder that is not above this one
from tests.docker.containers import docker
from tests.e2e.chaos.arena import Arena
from tests.e2e.chaos.conftest import ORDERS

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.docker,
    pytest.mark.slow,
]


def test_a_container_that_is_paused_past_its_lease_is_replaced_and_its_work_done_elsewhere(
    image: str,  # noqa: F811  # the fixture
    open_arena: Callable[..., Arena],
    ended: Callable[[Arena], None],
) -> None:
    arena = open_arena(runtime="docker", image=image)
    label = fleet_label(str(arena.settings.folder))
    try:
        arena.flood(ORDERS)
        arena.await_moment(latest=0.2)
        mine = ("--filter", f"label=swarmex.fleet={label}")
        running = docker("ps", "--quiet", *mine, "--filter", "label=swarmex.kind=inference")
        victim = arena.dice.choice(sorted(running.split()))
        arena.strike("a container paused")
        docker("pause", victim)
        ended(arena)
        arena.until(lambda: victim not in docker("ps", "--quiet").split(), "the manager has given it up")
        arena.await_fleet()
    finally:
        left = docker("ps", "--all", "--quiet", "--filter", f"label=swarmex.fleet={label}").split()
        arena.close()
        if left:
            docker("rm", "--force", *left)
