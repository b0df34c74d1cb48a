"""A manager's part: its tenure, what it sees of the fleet, and what becomes of the work of an agent that is gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.domain.events import Event, Topic
from backend.domain.fleet import FleetSpec
from backend.domain.ids import AgentId
from backend.services.trust import lapsed
from backend.storage.agents import Sight
from backend.storage.fleet import Manager
from backend.storage.unit_of_work import UnitOfWork

RETURN_MAX = 1_000  # items of one agent at once; what is above lapses by the clock


@dataclass(frozen=True, slots=True)
class FleetView:
    """What a manager of some generation sees; nothing but `current` counts when that is False."""

    current: bool
    desired: tuple[FleetSpec, ...] = ()
    sights: tuple[Sight, ...] = ()


def manager_of(uow: UnitOfWork) -> Manager | None:
    """The manager that counts, if there ever was one."""
    with uow:
        return uow.fleet.manager()


def take_over(uow: UnitOfWork, now: datetime, manager_id: AgentId) -> int:
    """Become the manager that counts; returns the generation. Managers of older ones end when they see it."""
    with uow:
        generation = uow.fleet.take_over(manager_id, now)
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()
    return generation


def manages(uow: UnitOfWork, now: datetime, generation: int) -> bool:
    """Whether this generation still counts."""
    with uow:
        current = uow.fleet.manage(generation, now)
        uow.commit()
    return current


def look(uow: UnitOfWork, now: datetime, generation: int) -> FleetView:
    """What the manager of this generation has to do with, and a sign that it is there."""
    with uow:
        if not uow.fleet.manage(generation, now):
            return FleetView(current=False)
        view = FleetView(True, tuple(uow.fleet.desired()), tuple(uow.agents.sights(now)))
        uow.commit()
    return view


def drain(uow: UnitOfWork, agents: Sequence[AgentId]) -> int:
    """Let agents that are not wanted any more finish what they hold and end; returns how many were up."""
    with uow:
        asked = uow.agents.drain(agents)
        uow.commit()
    return asked


def agent_gone(uow: UnitOfWork, now: datetime, name: str, before: datetime) -> int:
    """The process of that name has ended: what it held goes back to the living at once; returns how many items.

    For whoever knows it for certain. Agents of the name that started after `before` are its successors. One that said
    goodbye holds nothing and stays as it is.
    """
    with uow:
        gone = uow.agents.there(name, before)
        if not gone:
            return 0
        lapses = uow.work.lapse_agents(gone, now, RETURN_MAX)
        lapsed(uow, now, lapses)
        uow.agents.lose(gone)
        if lapses:
            uow.outbox.add(uow.work.resend(now, RETURN_MAX), now)
            uow.emit(Event(Topic.UNITS_READY))
        uow.commit()
    return sum(lapse.items for lapse in lapses)
