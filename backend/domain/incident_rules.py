"""The rules by which incidents are found in what is observed; each opens at one threshold and holds to a lower one."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from backend.domain.fleet import AgentKind, AgentState
from backend.domain.incidents import SUBJECT_CHARS_MAX, Finding, IncidentKind, Severity
from backend.domain.money import PPM
from backend.domain.observations import (
    AGENT_SILENT_S,
    AgentSeen,
    AuditSeen,
    BreakerSeen,
    FundsSeen,
    NodeSeen,
    Observations,
    QueueSeen,
    SlaSeen,
)

AGENT_TOLD_S = 3_600.0  # who has been gone for longer is history
LOOP_DEATHS = 5  # of one member within LOOP_S
LOOP_S = 120.0
QUEUE_OLD_S, QUEUE_OLD_HOLDS_S = 60.0, 20.0  # the oldest unit's wait
QUEUE_STUCK_S = 300.0
SLA_REQUESTS_MIN = 20  # fewer say nothing
SLA_OPENS_PPM, SLA_HOLDS_PPM = 900_000, 750_000  # of the promised latency, or of the failures that it allows
FUNDS_OPENS_PERCENT, FUNDS_HOLDS_PERCENT = 90, 80


def findings(seen: Observations) -> list[Finding]:
    """Everything that is wrong now."""
    return [
        *_agents_lost(seen),
        *_crash_loops(seen),
        *_queues_old(seen.queues),
        *(_breaker(breaker) for breaker in seen.breakers),
        *(_audit(audit) for audit in seen.audits if not audit.ok),
        *_slas(seen.slas),
        *_funds(seen.funds),
        *(_node(node) for node in seen.nodes),
    ]


def entry_of(member: str) -> str:
    """The fleet entry that an agent's name says it is a replica of."""
    return re.sub(r"-\d+$", "", member)


def subject(text: str) -> str:
    """`text` as an incident's subject, of bounded length."""
    return text[:SUBJECT_CHARS_MAX]


def crash_loop(member: str, deaths: int) -> Finding:
    """A member that keeps dying."""
    summary = f"{member} died {deaths} times within {LOOP_S:.0f} s; it is started ever more rarely"
    return Finding(IncidentKind.CRASH_LOOP, subject(member), Severity.CRITICAL, summary, {"deaths": deaths})


def rolled_back(member: str) -> Finding:
    """A member that did not get well as its entry was changed, and is as before."""
    summary = f"{member} did not get well as changed and was rolled back; its entry waits for another change"
    return Finding(IncidentKind.CRASH_LOOP, subject(member), Severity.CRITICAL, summary, {"deaths": 1})


def _agents_lost(seen: Observations) -> Iterator[Finding]:
    living = [agent for agent in seen.agents if agent.lives]
    kinds = {agent.kind for agent in living}
    for agent in seen.agents:
        if agent.lives or agent.state is AgentState.STOPPED or agent.silent_s > AGENT_TOLD_S:
            continue
        is_late = agent.silent_s > AGENT_SILENT_S
        succeeded = agent.kind is AgentKind.MANAGER and AgentKind.MANAGER in kinds
        if is_late and not succeeded and not _is_complete(entry_of(agent.name), seen, living):
            severity = Severity.WARNING if agent.kind in kinds else Severity.CRITICAL
            summary = f"no sign of life of {agent.kind} agent {agent.name}"
            yield Finding(IncidentKind.AGENT_LOST, subject(agent.name), severity, summary, {"kind": str(agent.kind)})


def _is_complete(entry: str, seen: Observations, living: Sequence[AgentSeen]) -> bool:
    """Whether a fleet entry has as many living members as it should: then nobody is missed."""
    wanted = (seen.wanted or {}).get(entry)
    return wanted is not None and Counter(entry_of(agent.name) for agent in living)[entry] >= wanted


def _crash_loops(seen: Observations) -> Iterator[Finding]:
    agents = {agent.name: agent for agent in seen.agents}
    for agent in seen.agents:
        if agent.deaths >= LOOP_DEATHS and not agent.is_steady:
            yield crash_loop(agent.name, agent.deaths)
    living = [agent for agent in seen.agents if agent.lives]
    for member in seen.looping:
        known = agents.get(member)
        is_missed = entry_of(member) in (seen.wanted or {}) and not _is_complete(entry_of(member), seen, living)
        if is_missed if known is None else not known.is_steady:
            yield Finding(IncidentKind.CRASH_LOOP, member, Severity.CRITICAL, "", holds=True)


def _queues_old(queues: Iterable[QueueSeen]) -> Iterator[Finding]:
    for queue in queues:
        if queue.age_s > QUEUE_OLD_HOLDS_S:
            severity = Severity.CRITICAL if queue.age_s > QUEUE_STUCK_S else Severity.WARNING
            summary = f"work in {queue.queue} has waited for {queue.age_s:.0f} s"
            details = {"items": queue.items, "age_s": round(queue.age_s)}
            holds = queue.age_s <= QUEUE_OLD_S
            yield Finding(IncidentKind.QUEUE_OLD, subject(queue.queue), severity, summary, details, holds)


def _breaker(breaker: BreakerSeen) -> Finding:
    summary = f"calls to {breaker.name} are refused: it kept failing"
    name = subject(breaker.name)
    return Finding(IncidentKind.BREAKER_OPEN, name, Severity.WARNING, summary, holds=not breaker.is_open)


def _audit(audit: AuditSeen) -> Finding:
    summary = f"the {audit.mode} audit of the ledger found {audit.differences} differences"
    details = {"differences": audit.differences}
    return Finding(IncidentKind.AUDIT_MISMATCH, audit.mode, Severity.CRITICAL, summary, details)


def _slas(windows: Iterable[SlaSeen]) -> Iterator[Finding]:
    for seen in windows:
        measured, promise = seen.measured, seen.promise
        if measured.requests < SLA_REQUESTS_MIN:
            continue
        latency_ppm = (measured.latency_ms_p95 or 0) * PPM // promise.latency_ms_p95
        allowed = max(1, (PPM - promise.uptime_ppm) * measured.requests)  # failures, times a million
        used_ppm = max(latency_ppm, measured.failures * PPM * PPM // allowed)
        if used_ppm <= SLA_HOLDS_PPM:
            continue
        severity = Severity.CRITICAL if used_ppm > PPM else Severity.WARNING
        summary = (
            f"tier {seen.tier}: p95 {measured.latency_ms_p95} ms of {promise.latency_ms_p95} ms promised, "
            f"{measured.failures} of {measured.requests} requests failed"
        )
        details = {
            "tier": seen.tier,
            "requests": measured.requests,
            "failures": measured.failures,
            "latency_ms_p95": measured.latency_ms_p95,
        }
        holds = used_ppm <= SLA_OPENS_PPM
        yield Finding(IncidentKind.SLA_AT_RISK, str(seen.window), severity, summary, details, holds)


def _funds(funds: Iterable[FundsSeen]) -> Iterator[Finding]:
    for seen in funds:
        percent = 100 * seen.used_nano // seen.limit_nano if seen.limit_nano else 100
        if percent < FUNDS_HOLDS_PERCENT:
            continue
        severity = Severity.CRITICAL if percent >= 100 else Severity.WARNING
        whose = f"{seen.kind} {seen.subject}"
        name = whose if seen.subject == seen.account else f"{whose} account {seen.account}"
        summary = f"{percent} % of {whose} is used"
        details = {"account": str(seen.account), "percent": percent}
        holds = percent < FUNDS_OPENS_PERCENT
        yield Finding(IncidentKind.BUDGET, name, severity, summary, details, holds)


def _node(node: NodeSeen) -> Finding:
    summary = f"node {node.name} fell silent with work in hand"
    details = {"name": node.name, "leases": node.leases, "orders_lost": node.lost}
    holds = not (node.leases or node.lost)
    return Finding(IncidentKind.NODE_LOST, str(node.node), Severity.WARNING, summary, details, holds)
