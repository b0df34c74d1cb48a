"""Agents: their signs of life, which of them should be running, and what becomes of the work of one that is gone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound
from backend.domain.events import Event, Topic
from backend.domain.fleet import FleetSpec, check_spec
from backend.domain.ids import AgentId
from backend.domain.scaling import ScalingPolicy
from backend.domain.work import AgentBeat, BeatAnswer
from backend.services.log import record
from backend.services.trust import lapsed
from backend.storage.agents import AgentStatus, Sight
from backend.storage.fleet import Manager, Resize
from backend.storage.unit_of_work import UnitOfWork

RETURN_MAX = 1_000  # items of one agent at once; what is above lapses by the clock
DECISIONS_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class FleetView:
    """What a manager of some generation sees; nothing but `current` counts when that is False."""

    current: bool
    desired: tuple[FleetSpec, ...] = ()
    sights: tuple[Sight, ...] = ()


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
    """Add or change what the manager should keep running; raises Invalid for what cannot be."""
    for spec in specs:
        check_spec(spec)
    with uow:
        uow.fleet.set_desired(specs)
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()


def ensure(uow: UnitOfWork, specs: Sequence[FleetSpec]) -> list[FleetSpec]:
    """Add the entries that are missing; of those that are there the kind and the arguments follow, and nothing else.

    So a start does not undo what an operator scaled since. Returns these entries as they are now; raises Invalid.
    """
    for spec in specs:
        check_spec(spec)
    with uow:
        known = {spec.name: spec for spec in uow.fleet.desired()}
        wanted = [
            replace(known[spec.name], kind=spec.kind, arguments=spec.arguments) if spec.name in known else spec
            for spec in specs
        ]
        uow.fleet.set_desired(wanted)
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()
    return wanted


def put_entry(uow: UnitOfWork, now: datetime, principal: Principal | None, spec: FleetSpec) -> FleetSpec:
    """Add an entry, or replace the one of its name; raises Forbidden, Invalid."""
    return _change(uow, now, principal, spec.name, "fleet.set", spec.facts(), lambda _: spec)


def scale(uow: UnitOfWork, now: datetime, principal: Principal | None, name: str, replicas: int) -> FleetSpec:
    """Want so many replicas of an entry now, within its bounds; with a policy they follow the load from there.

    Raises Forbidden, NotFound, Invalid.
    """

    def scaled(known: FleetSpec | None) -> FleetSpec:
        return replace(_known(known, name), replicas=replicas)

    return _change(uow, now, principal, name, "fleet.scale", {"replicas": replicas}, scaled)


def set_policy(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal | None,
    name: str,
    policy: ScalingPolicy | None,
    least: int = 0,
    most: int | None = None,
) -> FleetSpec:
    """Let an entry's replicas follow its load between `least` and `most`; None fixes them where they are.

    Raises Forbidden, NotFound, Invalid.
    """

    def with_policy(known: FleetSpec | None) -> FleetSpec:
        entry = _known(known, name)
        highest = entry.replicas_max if most is None else most
        replicas = max(least, min(entry.replicas, highest))
        return replace(entry, replicas=replicas, replicas_min=least, replicas_max=highest, policy=policy)

    facts = {"least": least, "most": most, "policy": policy and policy.wire()}
    return _change(uow, now, principal, name, "fleet.policy", facts, with_policy)


def remove_entry(uow: UnitOfWork, now: datetime, principal: Principal | None, name: str) -> None:
    """Want an entry no more: its replicas finish what they hold and end. Raises Forbidden, NotFound."""
    _require_admin(principal)
    with uow:
        if not uow.fleet.remove(name):
            raise _unknown(name)
        record(uow, now, principal, "fleet.remove", f"fleet {name}")
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()


def drain_agent(uow: UnitOfWork, now: datetime, principal: Principal | None, agent_name: str) -> AgentId:
    """Let an agent finish what it holds and end; the manager starts another in its place while one is wanted.

    Raises Forbidden, or NotFound for an agent that is not there.
    """
    _require_admin(principal)
    with uow:
        there = uow.agents.there(agent_name, now)
        if not there:
            accepted = "the name of an agent that is up; no manager, and no machine that joined: drain its node"
            raise NotFound("agent", agent_name, accepted=accepted)
        uow.agents.drain(there)
        record(uow, now, principal, "agent.drain", f"agent {agent_name}")
        uow.commit()
    return there[0]


def decisions(uow: UnitOfWork, name: str, limit: int = 10) -> list[Resize]:
    """Why an entry's replicas are as they are, the newest decision first."""
    with uow:
        return uow.fleet.decisions(name, min(limit, DECISIONS_SHOWN_MAX))


def manager(uow: UnitOfWork) -> Manager | None:
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


def _change(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal | None,
    name: str,
    action: str,
    facts: Mapping[str, object],
    changed: Callable[[FleetSpec | None], FleetSpec],
) -> FleetSpec:
    """Write what `changed` makes of the entry of that name, which nobody else changes meanwhile."""
    _require_admin(principal)
    with uow:
        spec = check_spec(changed(uow.fleet.find(name, for_update=True)))
        uow.fleet.set_desired([spec])
        record(uow, now, principal, action, f"fleet {name}", **facts)
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()
    return spec


def _known(found: FleetSpec | None, name: str) -> FleetSpec:
    if found is None:
        raise _unknown(name)
    return found


def _unknown(name: str) -> NotFound:
    return NotFound("fleet entry", name, field="name", accepted="the name of an entry of the fleet")


def _require_admin(principal: Principal | None) -> None:
    if principal is not None:
        principal.require(Role.ADMIN)
