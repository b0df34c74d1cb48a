"""Incidents: what an operator is alerted of. One opens when something is found, and ends once it is over for a while.

Money's own thresholds, told to whoever pays, are in `domain/alerts.py`; the rules that find incidents are in
`domain/incident_rules.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.ids import AccountId, IncidentId

INCIDENTS_KEPT = timedelta(days=90)  # after they were resolved
SUBJECT_CHARS_MAX = 200


class IncidentKind(StrEnum):
    """What can go wrong."""

    AGENT_LOST = "agent_lost"
    CRASH_LOOP = "crash_loop"
    QUEUE_OLD = "queue_old"
    BREAKER_OPEN = "breaker_open"
    AUDIT_MISMATCH = "audit_mismatch"
    SLA_AT_RISK = "sla_at_risk"
    BUDGET = "budget"
    NODE_LOST = "node_lost"


class Severity(StrEnum):
    """How bad it is: a warning may wait for the morning."""

    WARNING = "warning"
    CRITICAL = "critical"


class IncidentState(StrEnum):
    """Whether it goes on."""

    OPEN = "open"
    RESOLVED = "resolved"


class IncidentEvent(StrEnum):
    """What becomes of an incident, as the outside is told of it."""

    OPENED = "opened"
    WORSENED = "worsened"
    RESOLVED = "resolved"
    TEST = "test"


# For how long nothing may be found before it is over: what comes and goes is one incident, not many.
CALM: Mapping[IncidentKind, timedelta] = {
    IncidentKind.AGENT_LOST: timedelta(seconds=5),
    IncidentKind.CRASH_LOOP: timedelta(seconds=30),
    IncidentKind.QUEUE_OLD: timedelta(seconds=15),
    IncidentKind.BREAKER_OPEN: timedelta(seconds=30),
    IncidentKind.AUDIT_MISMATCH: timedelta(0),
    IncidentKind.SLA_AT_RISK: timedelta(seconds=30),
    IncidentKind.BUDGET: timedelta(0),
    IncidentKind.NODE_LOST: timedelta(seconds=15),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong now. One that only `holds` keeps an open incident open and opens none.

    A rule opens at one threshold and holds down to a lower one, so that what wavers between them does not flap.
    """

    kind: IncidentKind
    subject: str
    severity: Severity
    summary: str
    details: Mapping[str, object] = field(default_factory=dict)
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that was wrong from `opened_at` on, and was last seen at `seen_at`."""

    id: IncidentId
    kind: IncidentKind
    subject: str
    severity: Severity
    summary: str
    details: Mapping[str, object]
    opened_at: datetime
    seen_at: datetime
    resolved_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: AccountId | None = None

    @property
    def state(self) -> IncidentState:
        """Whether it goes on."""
        return IncidentState.OPEN if self.resolved_at is None else IncidentState.RESOLVED

    def document(self) -> dict[str, object]:
        """The incident as webhooks, the HTTP API and the CLI tell it; times are datetimes."""
        return {
            "id": self.id,
            "kind": str(self.kind),
            "subject": self.subject,
            "severity": str(self.severity),
            "state": str(self.state),
            "summary": self.summary,
            "details": dict(self.details),
            "opened_at": self.opened_at,
            "seen_at": self.seen_at,
            "resolved_at": self.resolved_at,
            "acknowledged_at": self.acked_at,
            "acknowledged_by": self.acked_by,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written: findings to open, incidents as they are now, and which of them got worse or are over."""

    opened: tuple[Finding, ...] = ()
    seen: tuple[Incident, ...] = ()
    worsened: tuple[Incident, ...] = ()
    resolved: tuple[Incident, ...] = ()


def decide(findings: Sequence[Finding], known: Sequence[Incident], now: datetime) -> Decision:
    """What becomes of the open incidents `known`, each (kind, subject) at most once, given what is found now.

    Of several findings of one subject the worst counts.
    """
    worst: dict[tuple[IncidentKind, str], Finding] = {}
    for finding in findings:
        place = (finding.kind, finding.subject)
        if place not in worst or _gravity(finding) > _gravity(worst[place]):
            worst[place] = finding
    seen, worsened, resolved = [], [], []
    for incident in known:
        found = worst.pop((incident.kind, incident.subject), None)
        if found is not None:
            seen.append(_as_found(incident, found, now))
            if seen[-1].severity is not incident.severity:
                worsened.append(seen[-1])
        elif now - incident.seen_at >= CALM[incident.kind]:
            resolved.append(replace(incident, resolved_at=now))
    opened = tuple(finding for finding in worst.values() if not finding.holds)
    return Decision(opened, tuple(seen), tuple(worsened), tuple(resolved))


def _gravity(finding: Finding) -> tuple[bool, bool]:
    return not finding.holds, finding.severity is Severity.CRITICAL


def _as_found(incident: Incident, found: Finding, now: datetime) -> Incident:
    """The incident with the newest words about it; it never gets milder while it lasts."""
    if found.holds:
        return replace(incident, seen_at=now)
    critical = Severity.CRITICAL in (incident.severity, found.severity)
    severity = Severity.CRITICAL if critical else Severity.WARNING
    return replace(incident, seen_at=now, severity=severity, summary=found.summary, details=found.details)
