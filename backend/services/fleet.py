"""Agents: their signs of life, and which of them should be running."""

from collections.abc import Sequence
from datetime import datetime

from backend.domain.events import Event, Topic
from backend.domain.fleet import FleetSpec
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat, BeatAnswer
from backend.storage.agents import AgentStatus
from backend.storage.unit_of_work import UnitOfWork


def beat(uow: UnitOfWork, now: datetime, sign: AgentBeat) -> BeatAnswer:
    """Record a sign of life."""
    with uow:
        answer = uow.agents.beat(sign, now)
        uow.commit()
    return answer


def stopped(uow: UnitOfWork, now: datetime, agent_id: AgentId) -> None:
    """Record that an agent has gone, as it should."""
    with uow:
        uow.agents.stop(agent_id, now)
        uow.commit()


def list_agents(uow: UnitOfWork) -> list[AgentStatus]:
    """All agents of the last day, living or not."""
    with uow:
        return uow.agents.all()


def desired(uow: UnitOfWork) -> list[FleetSpec]:
    """What the manager should keep running."""
    with uow:
        return uow.fleet.desired()


def set_desired(uow: UnitOfWork, specs: Sequence[FleetSpec]) -> None:
    """Add or change what the manager should keep running."""
    with uow:
        uow.fleet.set_desired(specs)
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()
