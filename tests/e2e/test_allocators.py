"""Allocation agents share the markets; when one dies the other takes over."""

import signal

import pytest

from tests.e2e.swarm import Swarm

pytestmark = [pytest.mark.slow]

HEARTBEATS = 3


def leased(swarm: Swarm) -> int:
    """How many leases were ever granted."""
    return int(swarm.query("SELECT count(*) AS n FROM leases")[0].n)


def test_when_one_of_two_allocation_agents_is_killed_the_other_serves_its_markets(swarm: Swarm) -> None:
    for region in ("north", "south"):
        swarm.market.node(region, slots=100, pool=region, region=region)
        swarm.start("inference", "--pool", region, name=region)
    swarm.start("allocation", name="second")  # beside the one that the market has
    swarm.until(lambda: swarm.alive("north") and swarm.alive("south"), "both regions live")
    swarm.until(
        lambda: len(swarm.query("SELECT 1 FROM agents WHERE kind = 'allocation' AND state = 'up'")) == 2, "both are up"
    )
    for region in ("north", "south"):
        swarm.market.place(5, region=region, deadline_s=600)
    swarm.until(lambda: leased(swarm) == 10, "both regions are cleared")
    swarm.signal("allocation", signal.SIGKILL)
    for region in ("north", "south"):
        swarm.market.place(5, region=region, deadline_s=600)
    beats: set[object] = set()

    def served() -> bool:
        beats.update(row.beat_at for row in swarm.query("SELECT beat_at FROM agents WHERE name = 'second'"))
        return leased(swarm) == 20

    swarm.until(served, "the survivor clears both")
    assert len(beats) - 1 <= HEARTBEATS
