"""Agents: their signs of life, and which of them should be running."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound
from backend.domain.events import Event, Topic
from backend.domain.fleet import FleetSpec, check_spec
from backend.domain.fleet_changes import changed_entry, check_new, check_removal, entry_exists, missing_entries
from backend.domain.ids import AgentId
from backend.domain.scaling import ScalingPolicy
from backend.domain.work import AgentBeat, BeatAnswer
from backend.services.log import record
from backend.storage.agents import AgentStatus
from backend.storage.fleet import Resize
from backend.storage.unit_of_work import UnitOfWork

DECISIONS_SHOWN_MAX = 100


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


def ensure(uow: UnitOfWork, specs: Sequence[FleetSpec], *, restore: bool = True) -> list[FleetSpec]:
    """Add the entries that are missing; of those that are there the kind and the arguments follow, and nothing else.

    So a start does not undo what an operator scaled since; without `restore` it does not bring back what one removed
    either. Returns those of `specs` that are there now, as they are now; raises Invalid.
    """
    for spec in specs:
        check_spec(spec)
    with uow:
        known = {spec.name: spec for spec in uow.fleet.desired()}
        added = specs if restore else missing_entries(list(known.values()), specs)
        wanted = [
            replace(known[spec.name], kind=spec.kind, arguments=spec.arguments) if spec.name in known else spec
            for spec in specs
            if spec.name in known or spec in added
        ]
        uow.fleet.set_desired(wanted)
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()
    return wanted


def add_entry(uow: UnitOfWork, now: datetime, principal: Principal | None, spec: FleetSpec) -> FleetSpec:
    """Want a further entry; raises Forbidden, Invalid, Conflict."""
    _require_admin(principal)
    check_spec(spec)
    with uow:
        check_new(spec, uow.fleet.desired())
        if not uow.fleet.add(spec):  # somebody else did, meanwhile
            raise entry_exists(spec.name)
        record(uow, now, principal, "fleet.add", f"fleet {spec.name}", **spec.facts())
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()
    return spec


def set_entry(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal | None,
    name: str,
    *,
    image: str | None = None,
    cpu: float | None = None,
    memory_mb: int | None = None,
) -> FleetSpec:
    """Give an entry's agents another image or other limits: None keeps what there is, "" or 0 takes it away.

    They are replaced one after another. Raises Forbidden, NotFound, Invalid.
    """

    def with_these(known: FleetSpec | None) -> FleetSpec:
        return changed_entry(_known(known, name), image, cpu, memory_mb)

    facts = {"image": image, "cpu": cpu, "memory_mb": memory_mb}
    return _change(uow, now, principal, name, "fleet.set", facts, with_these)


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


def remove_entry(uow: UnitOfWork, now: datetime, principal: Principal | None, name: str) -> FleetSpec:
    """Want an entry no more: its replicas finish what they hold and end. Returns what it was.

    Raises Forbidden, NotFound, or Conflict for one that the market needs.
    """
    _require_admin(principal)
    with uow:
        kind = _known(uow.fleet.find(name), name).kind
        there = uow.fleet.lock_kind(kind)  # so that of two that go at once one stays
        spec = _known(next((spec for spec in there if spec.name == name), None), name)
        check_removal(spec, there)
        uow.fleet.remove(name)
        record(uow, now, principal, "fleet.remove", f"fleet {name}", **spec.facts())
        uow.emit(Event(Topic.FLEET_CHANGED))
        uow.commit()
    return spec


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
