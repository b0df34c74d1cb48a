"""What the swarm does now: each agent with what it has in hand, how well it is, and why there are so many of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.domain.errors import NotFound
from backend.domain.fleet import AgentState, FleetSpec
from backend.domain.health import Diagnosis, Signs, Verdict, judge
from backend.domain.ids import AgentId
from backend.domain.incident_rules import entry_of
from backend.domain.work import AGENT_LOST_S
from backend.storage.activity import Load
from backend.storage.agents import AgentStatus
from backend.storage.fleet import Manager, Resize
from backend.storage.unit_of_work import UnitOfWork

DECISIONS_SHOWN = 10
IDLE = Load(0, 0, None)


@dataclass(frozen=True, slots=True)
class Activity:
    """An agent, its load, and a diagnosis from one look at it; None of one that ended as it should."""

    agent: AgentStatus
    load: Load
    diagnosis: Diagnosis | None

    def lives(self, now: datetime) -> bool:
        """Whether it is there and beats."""
        gone = self.agent.state in (AgentState.STOPPED, AgentState.LOST)
        return not gone and (now - self.agent.beat_at).total_seconds() <= AGENT_LOST_S


@dataclass(frozen=True, slots=True)
class Shown:
    """A fleet entry (None: it was started by hand), its agents, and why it has as many replicas as it has."""

    entry: FleetSpec | None
    agents: Sequence[Activity]
    decisions: Sequence[Resize]
    manager: Manager | None


def look(uow: UnitOfWork, now: datetime) -> list[Activity]:
    """All agents of the last day, by kind and name."""
    with uow:
        return _look(uow, now)


def show(uow: UnitOfWork, now: datetime, name: str) -> Shown:
    """A fleet entry by its name, or an agent by its name or id: the youngest of that name. Raises NotFound."""
    with uow:
        agents = _look(uow, now)
        entry = uow.fleet.find(name)
        if entry is not None:
            agents = [one for one in agents if entry_of(one.agent.name) == name and one.agent.name != name]
            agents = [one for one in agents if one.agent.state is not AgentState.STOPPED]
        else:
            named = [one for one in agents if name in (one.agent.name, str(one.agent.id))]
            if not named:
                raise NotFound("agent", name, accepted="the name or id of an agent, or the name of a fleet entry")
            agents = [max(named, key=lambda one: one.agent.started_at)]
            entry = uow.fleet.find(entry_of(agents[0].agent.name))
        decisions = uow.fleet.decisions(entry.name, DECISIONS_SHOWN) if entry else []
        return Shown(entry, agents, decisions, uow.fleet.manager())


def _look(uow: UnitOfWork, now: datetime) -> list[Activity]:
    loads = uow.activity.loads()
    return [Activity(agent, loads.get(agent.id, IDLE), _diagnose(agent, loads, now)) for agent in uow.agents.all()]


def _diagnose(agent: AgentStatus, loads: dict[AgentId, Load], now: datetime) -> Diagnosis | None:
    if agent.state is AgentState.STOPPED:
        return None
    if agent.state is AgentState.LOST:
        return Diagnosis(Verdict.SICK, "it ended without a word")
    silent_s = max(0.0, (now - agent.beat_at).total_seconds())
    tick_s = None if agent.tick_age_ms is None else agent.tick_age_ms / 1_000
    age_s = (now - agent.started_at).total_seconds()
    return judge(Signs(age_s, silent_s, tick_s, held_us=loads.get(agent.id, IDLE).held_us))
