"""Scaling: the queues of entries with a policy are observed, and their replicas follow `domain/scaling.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import structlog

from backend.domain.events import Event, Topic
from backend.domain.fleet import FleetSpec
from backend.domain.scaling import Bounds, Cause, Decision, Observation, Record, decide
from backend.messaging.queues import node_queue, pool_queue
from backend.storage.fleet import Resize
from backend.storage.ids import new_id
from backend.storage.loads import QueueLoad
from backend.storage.unit_of_work import UnitOfWork

ARRIVALS = timedelta(seconds=10)  # over which arrivals are averaged
DECISIONS_KEPT = 100  # of one entry

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Memory:
    """What scaling remembers between two looks, by the entries' names; empty after a restart."""

    records: dict[str, Record] = field(default_factory=dict)
    causes: dict[str, Cause] = field(default_factory=dict)
    looked_at: datetime | None = None


def rescale(uow: UnitOfWork, now: datetime, memory: Memory) -> dict[str, Decision]:
    """Decide on every entry with a policy, and resize those that need it; the decisions by name.

    A decision is logged and kept when it changes something, or when its cause is another than before.
    """
    with uow:
        specs = {spec.name: spec for spec in uow.fleet.desired() if spec.policy is not None}
        memory.records = {name: record for name, record in memory.records.items() if name in specs}
        memory.causes = {name: cause for name, cause in memory.causes.items() if name in specs}
        queues = {name: queue for name, spec in specs.items() if (queue := queue_of(spec)) is not None}
        if not queues:
            return {}
        loads = uow.loads.of_queues(queues.values(), now, now - ARRIVALS, memory.looked_at or now)
        memory.looked_at = now
        decided = {name: _decide(specs[name], loads[queue], now, memory) for name, queue in queues.items()}
        changed = {name: d.replicas for name, d in decided.items() if d.replicas != specs[name].replicas}
        told = [name for name, d in decided.items() if name in changed or memory.causes.get(name) is not d.cause]
        if changed:
            uow.fleet.resize({name: specs[name].replicas for name in changed}, changed)
            uow.emit(Event(Topic.FLEET_CHANGED))
        if told:
            uow.fleet.remember([_resize(specs[name], decided[name]) for name in told], DECISIONS_KEPT)
            uow.commit()
    _tell(specs, {name: decided[name] for name in told})
    memory.causes |= {name: decided[name].cause for name in told}
    return decided


def queue_of(spec: FleetSpec) -> str | None:
    """The queue that an entry's inference agents consume; None if its arguments name none."""
    named = dict(pairwise(spec.arguments))
    if "--pool" in named:
        return pool_queue(named["--pool"])
    try:
        return node_queue(UUID(named["--node"]))
    except (KeyError, ValueError):
        return None


def _decide(spec: FleetSpec, load: QueueLoad, now: datetime, memory: Memory) -> Decision:
    assert spec.policy is not None  # chosen by that
    seen = Observation(
        now,
        load.backlog,
        load.in_flight,
        load.arrived / ARRIVALS.total_seconds(),
        load.wait_ms_p95,
        load.living,
        load.busy,
        load.unserved,
        load.arrived_since,
    )
    bounds = Bounds(spec.replicas, spec.replicas_min, spec.replicas_max)
    decision, memory.records[spec.name] = decide(spec.policy, bounds, memory.records.get(spec.name, Record()), seen)
    return decision


def _resize(spec: FleetSpec, decision: Decision) -> Resize:
    at, cause = decision.seen.at, decision.cause
    return Resize(new_id(), spec.name, at, spec.replicas, decision.replicas, cause, decision.reason)


def _tell(specs: Mapping[str, FleetSpec], decided: Mapping[str, Decision]) -> None:
    for name, decision in decided.items():
        log.info(
            "fleet.decided",
            entry=name,
            before=specs[name].replicas,
            after=decision.replicas,
            cause=str(decision.cause),
            reason=decision.reason,
        )
