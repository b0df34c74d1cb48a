"""Incidents: the market is looked at as a whole, what is new opens, what persists is seen again, what is over ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.domain import incident_rules as rules
from backend.domain.access import Principal, Role
from backend.domain.errors import Invalid, NotFound, unknown_choice
from backend.domain.events import Event, Topic
from backend.domain.ids import DeliveryId, IncidentId
from backend.domain.incidents import (
    INCIDENTS_KEPT,
    Finding,
    Incident,
    IncidentEvent,
    IncidentKind,
    IncidentState,
    Severity,
    decide,
)
from backend.domain.observations import AuditSeen, BreakerSeen, Observations, SlaSeen
from backend.domain.sla import Promise, SlaState
from backend.domain.tiers import tier_at
from backend.services.log import record
from backend.services.webhook_bodies import body_of
from backend.storage.contention import patient
from backend.storage.deliveries import Delivery
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500
WINDOWS_MAX = 500  # open SLA windows, the newest
NEW_MAX = 1_000  # incidents opened by one look
FORGET_MAX = 500  # in one look


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look changed."""

    opened: tuple[Incident, ...] = ()
    worsened: tuple[Incident, ...] = ()
    resolved: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """An incident, and what was told of it to the webhook."""

    incident: Incident
    deliveries: list[Delivery]


@patient
def watch(
    uow: UnitOfWork, now: datetime, breakers: Sequence[BreakerSeen], *, blind: bool = False, webhook: bool = False
) -> Watched:
    """Look at everything once: a constant number of statements.

    While it is `blind` to some breakers, incidents of breakers go on. With `webhook` each change is owed to it in the
    same transaction. Of several who watch at once one does.
    """
    with uow:
        if not uow.incidents.take_turn():
            return Watched()
        known = uow.incidents.lock_open()
        if blind:
            held = [incident.subject for incident in known if incident.kind is IncidentKind.BREAKER_OPEN]
            breakers = [*breakers, *(BreakerSeen(name, is_open=False) for name in held)]
        decision = decide(rules.findings(_observe(uow, now, breakers, known)), known, now)
        uow.incidents.write([*decision.seen, *decision.resolved])
        added = uow.incidents.add([_incident(finding, now) for finding in decision.opened[:NEW_MAX]])
        changed = Watched(tuple(added), decision.worsened, decision.resolved)
        _tell(uow, now, changed, webhook=webhook)
        uow.incidents.forget_before(now - INCIDENTS_KEPT, FORGET_MAX)
        uow.commit()
    return changed


def report_crash_loop(uow: UnitOfWork, now: datetime, member: str, deaths: int, *, webhook: bool = False) -> bool:
    """A member keeps dying, says whoever starts it; returns whether that was not known yet."""
    return _report(uow, now, rules.crash_loop(member, deaths), webhook=webhook)


def report_rolled_back(uow: UnitOfWork, now: datetime, member: str, *, webhook: bool = False) -> bool:
    """A member is as before since it did not get well as changed; returns whether nothing was known of it yet."""
    return _report(uow, now, rules.rolled_back(member), webhook=webhook)


def _report(uow: UnitOfWork, now: datetime, finding: Finding, *, webhook: bool) -> bool:
    with uow:
        added = uow.incidents.add([_incident(finding, now)])
        _tell(uow, now, Watched(tuple(added)), webhook=webhook)
        uow.commit()
    return bool(added)


def list_incidents(
    uow: UnitOfWork,
    state: str | None = None,
    kind: str | None = None,
    severity: str | None = None,
    limit: int = 100,
    before: IncidentId | None = None,
) -> list[Incident]:
    """The newest incidents; `before` continues a list below an id. Raises Invalid."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    for field, value, words in (("state", state, IncidentState), ("kind", kind, IncidentKind)):
        if value is not None and value not in [word.value for word in words]:
            raise unknown_choice(field, value, [word.value for word in words])
    if severity is not None and severity not in [word.value for word in Severity]:
        raise unknown_choice("severity", severity, [word.value for word in Severity])
    with uow:
        return uow.incidents.newest(
            IncidentState(state) if state else None,
            IncidentKind(kind) if kind else None,
            Severity(severity) if severity else None,
            limit,
            before,
        )


def show_incident(uow: UnitOfWork, incident_id: IncidentId) -> Shown:
    """An incident with what was told of it; raises NotFound."""
    with uow:
        found = uow.incidents.find(incident_id)
        if found is None:
            raise _unknown(incident_id)
        return Shown(found, uow.deliveries.of_incident(incident_id))


def acknowledge(uow: UnitOfWork, now: datetime, principal: Principal, incident_id: IncidentId) -> Incident:
    """Somebody looks into it; once, whoever says it again. Raises Forbidden, NotFound."""
    principal.require(Role.ADMIN)
    with uow:
        found = uow.incidents.find(incident_id, for_update=True)
        if found is None:
            raise _unknown(incident_id)
        if found.acked_at is None:
            uow.incidents.acknowledge(incident_id, principal.actor if principal.key_id else None, now)
            details = {"kind": str(found.kind), "about": found.subject}
            record(uow, now, principal, "incident.acknowledge", f"incident {incident_id}", **details)
            uow.commit()
    return show_incident(uow, incident_id).incident


def _observe(
    uow: UnitOfWork, now: datetime, breakers: Sequence[BreakerSeen], known: Sequence[Incident]
) -> Observations:
    seen = uow.observations
    return Observations(
        agents=seen.agents(now),
        wanted={spec.name: spec.replicas for spec in uow.fleet.desired()},
        looping=[incident.subject for incident in known if incident.kind is IncidentKind.CRASH_LOOP],
        queues=seen.queues(now),
        breakers=breakers,
        audits=[AuditSeen(run.mode, run.ok, len(run.differences)) for run in uow.audit_runs.newest()],
        slas=_slas(uow),
        funds=seen.funds(now),
        nodes=seen.nodes(now, [UUID(i.subject) for i in known if i.kind is IncidentKind.NODE_LOST]),
    )


def _slas(uow: UnitOfWork) -> list[SlaSeen]:
    windows = uow.sla.newest(None, SlaState.OPEN, WINDOWS_MAX, None)
    if not windows:
        return []
    versions = uow.tiers.versions()
    promised = [tier_at(versions, window.opened_at)[window.tier] for window in windows]
    return [
        SlaSeen(window.id, window.tier, Promise(tier.latency_ms_p95, tier.uptime_ppm, tier.ladder), window.measured)
        for window, tier in zip(windows, promised, strict=True)
    ]


def _incident(finding: Finding, now: datetime) -> Incident:
    severity, summary = finding.severity, finding.summary
    return Incident(IncidentId(new_id()), finding.kind, finding.subject, severity, summary, finding.details, now, now)


def _tell(uow: UnitOfWork, now: datetime, changed: Watched, *, webhook: bool) -> None:
    """Announce what changed, and owe it to the webhook."""
    for topic, incidents in (
        (Topic.INCIDENT_OPENED, changed.opened),
        (Topic.INCIDENT_RESOLVED, changed.resolved),
    ):
        for incident in incidents:
            uow.emit(Event(topic, str(incident.id)))
    if webhook:
        told = (
            (IncidentEvent.OPENED, changed.opened),
            (IncidentEvent.WORSENED, changed.worsened),
            (IncidentEvent.RESOLVED, changed.resolved),
        )
        owed = [
            Delivery(
                id=DeliveryId(new_id()), incident_id=incident.id, event=event, body=body_of(incident, event), due_at=now
            )
            for event, incidents in told
            for incident in incidents
        ]
        uow.deliveries.add(owed)


def _unknown(incident_id: IncidentId) -> NotFound:
    return NotFound("incident", incident_id)
