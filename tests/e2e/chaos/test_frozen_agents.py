"""SIGSTOP past every lease, then SIGCONT: who wakes up has nothing any more, and does no harm."""

import re
import signal
from collections.abc import Callable
from uuid import UUID

import pytest

from backend.domain.fleet import AgentKind
from tests.e2e.chaos.arena import Arena
from tests.e2e.chaos.conftest import ORDERS
from tests.forked import Forked
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

LOST = re.compile(r'"lost": [1-9]')
HOLDS = """
    SELECT i.id FROM work_items i JOIN agents a ON a.id = i.agent_id WHERE a.name = :name AND i.state = 'running'
"""


def test_an_agent_that_sleeps_past_its_lease_commits_nothing_when_it_wakes(
    arena: Arena, ended: Callable[[Arena], None]
) -> None:
    sleeper = arena.start_agent("sleeper")
    arena.flood(ORDERS)
    arena.await_moment(latest=0.2)
    held = frozen_at_work(arena, sleeper)
    arena.strike("an inference agent frozen")
    arena.until(lambda: not arena.query(HOLDS, name="sleeper"), "its claims have lapsed")
    sleeper.send_signal(signal.SIGCONT)
    arena.until(lambda: "claims.lost" in arena.log("sleeper") or LOST.search(arena.log("sleeper")), "it knows")
    ended(arena)
    again = arena.query("SELECT id FROM work_items WHERE id = ANY(:ids) AND attempt > 1", ids=held)
    assert again, "what it held ran elsewhere"
    sleeper.send_signal(signal.SIGTERM)
    assert sleeper.wait(PATIENCE_S) == 0


def frozen_at_work(arena: Arena, sleeper: Forked) -> list[UUID]:
    """Stop the agent while it has items in hand; their ids."""
    held: list[UUID] = []

    def stopped() -> bool:
        sleeper.send_signal(signal.SIGSTOP)
        held[:] = [row.id for row in arena.query(HOLDS, name="sleeper")]
        if not held:  # just between two units
            sleeper.send_signal(signal.SIGCONT)
        return bool(held)

    arena.until(stopped, "the sleeper has work in hand")
    return held


def test_a_settlement_agent_that_hangs_is_replaced_by_the_manager(arena: Arena, ended: Callable[[Arena], None]) -> None:
    arena.flood(ORDERS)
    arena.await_moment(latest=0.2)
    [(name, process)] = arena.members(AgentKind.SETTLEMENT).items()
    arena.strike(f"{name} frozen")
    process.send_signal(signal.SIGSTOP)
    ended(arena)
    assert process not in arena.members(AgentKind.SETTLEMENT).values()
