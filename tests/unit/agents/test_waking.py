"""What makes an agent tick before its period is over: events for it, and a connection that was away."""

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

from agents.base import Agent, Identity, Pace
from backend.bootstrap import new_id
from backend.domain.events import Event, Topic
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat, BeatAnswer
from backend.messaging.memory_bus import MemoryBus, MemoryServer
from tests.waiting import FOREVER_S

PERIOD_S = FOREVER_S  # far longer than any test may take: whatever ticks was woken


class NobodyAsks:
    """A registry that takes whatever is said."""

    def beat(self, _beat: AgentBeat) -> BeatAnswer:
        return BeatAnswer(drain=False)

    def stopped(self, _agent_id: AgentId) -> None:
        return


class Sleeper(Agent):
    """At each tick it does the next of its steps, and ends after the last one."""

    name: ClassVar[str] = "pricing"
    channels: ClassVar[tuple[Topic, ...]] = (Topic.ORDERS_PLACED,)
    period_s: ClassVar[float] = PERIOD_S

    def __init__(self, bus: MemoryBus, steps: list[Callable[[], object]]) -> None:
        super().__init__(Identity.of_this_process(AgentId(new_id()), "sleeper"), NobodyAsks(), bus)
        self.steps = steps
        self.gaps: list[datetime] = []

    def missed_events(self, since: datetime) -> None:
        self.gaps.append(since)
        super().missed_events(since)

    def tick(self, now: datetime) -> Pace:
        self.steps.pop(0)()
        if not self.steps:
            self.drain()
        return Pace.REST


def run(agent: Sleeper) -> None:
    """Run it until its steps are done, at once."""
    assert agent.run() == 0
    assert agent.steps == []


def nothing() -> None:
    return


def test_an_agent_ticks_as_soon_as_it_is_connected_again() -> None:
    server = MemoryServer()

    def restart() -> None:
        server.stop()
        server.start()

    agent = Sleeper(MemoryBus(server), [nothing, restart, nothing])
    run(agent)
    assert len(agent.gaps) == 2, "once connected, and once more"


def test_events_for_its_kind_and_for_itself_wake_an_agent_and_those_for_others_do_not() -> None:
    bus = MemoryBus()
    agent = Sleeper(bus, [])
    kind, itself, other = (
        Event(Topic.ORDERS_PLACED, kind=agent.name),
        Event(Topic.ORDERS_PLACED, agent=str(agent.identity.agent_id)),
        Event(Topic.ORDERS_PLACED, kind="allocation"),
    )
    agent.steps = [nothing, lambda: bus.publish([other, kind]), lambda: bus.publish([other, itself]), nothing]
    run(agent)
    assert len(agent.gaps) == 1
