"""What counts as an incident: each rule opens at one threshold and holds down to a lower one."""

from dataclasses import replace
from uuid import UUID

import pytest

from backend.domain.fleet import AgentKind, AgentState
from backend.domain.incident_rules import AGENT_TOLD_S, LOOP_DEATHS, findings, rolled_back
from backend.domain.incidents import SUBJECT_CHARS_MAX, Finding, IncidentKind, Severity
from backend.domain.observations import (
    AGENT_SILENT_S,
    STEADY_S,
    AgentSeen,
    AuditSeen,
    BreakerSeen,
    FundsSeen,
    NodeSeen,
    Observations,
    QueueSeen,
    SlaSeen,
)
from backend.domain.sla import Histogram, Measured, Promise

LATE = AGENT_SILENT_S + 1
PROMISE = Promise(1_000, 990_000, ())
ONE, TWO = UUID(int=1), UUID(int=2)


def agent(name: str = "pool.edge-0", silent_s: float = LATE, state: str = "up", **changes: object) -> AgentSeen:
    seen = AgentSeen(name, AgentKind.INFERENCE, AgentState(state), silent_s, 100.0, 0)
    return replace(seen, **changes)  # type: ignore[arg-type]  # a test's own words


def lost(*agents: AgentSeen, **wanted: int) -> list[Finding]:
    seen = Observations(agents, {name.replace("_", "."): count for name, count in wanted.items()})
    return [finding for finding in findings(seen) if finding.kind is IncidentKind.AGENT_LOST]


def test_nothing_is_found_where_nothing_is() -> None:
    assert findings(Observations()) == []


def test_an_agent_that_fell_silent_is_lost_and_critical_if_it_was_the_last_of_its_kind() -> None:
    [finding] = lost(agent())
    assert (finding.subject, finding.severity, finding.holds) == ("pool.edge-0", Severity.CRITICAL, False)
    [finding] = lost(agent(), agent("pool.core-0", 0.0))
    assert finding.severity is Severity.WARNING
    assert lost(agent(state="lost"))


@pytest.mark.parametrize(
    "gone",
    [
        agent(silent_s=AGENT_SILENT_S),
        agent(state="lost", silent_s=1.0),
        agent(state="stopped"),
        agent(silent_s=AGENT_TOLD_S + 1),
    ],
)
def test_who_beats_said_goodbye_was_restarted_or_is_history_is_not_lost(gone: AgentSeen) -> None:
    assert lost(gone) == []


def test_nobody_is_missed_where_as_many_live_as_should() -> None:
    other = agent("pool.edge-1", 0.0)
    assert lost(agent(), other, pool_edge=1) == []
    assert [finding.subject for finding in lost(agent(), other, pool_edge=2)] == ["pool.edge-0"]
    manager = agent("manager-1a", kind=AgentKind.MANAGER)
    assert lost(manager)
    assert lost(manager, agent("manager-2b", 0.0, kind=AgentKind.MANAGER)) == []


def loops(*agents: AgentSeen, looping: tuple[str, ...] = (), **wanted: int) -> list[Finding]:
    seen = Observations(agents, {name.replace("_", "."): count for name, count in wanted.items()}, looping)
    return [finding for finding in findings(seen) if finding.kind is IncidentKind.CRASH_LOOP]


def test_who_dies_again_and_again_is_in_a_crash_loop_until_it_has_been_steady() -> None:
    assert loops(agent(deaths=LOOP_DEATHS - 1)) == []
    [finding] = loops(agent(deaths=LOOP_DEATHS))
    assert (finding.severity, finding.holds) == (Severity.CRITICAL, False)
    assert loops(agent(silent_s=0.0, age_s=STEADY_S, deaths=LOOP_DEATHS)) == []
    member = ("pool.edge-0",)
    for still in (agent(silent_s=0.0, age_s=STEADY_S - 1), agent()):
        [held] = loops(still, looping=member)
        assert held.holds
    assert loops(agent(silent_s=0.0, age_s=STEADY_S), looping=member) == []
    assert loops(agent(state="stopped"), looping=member) == []


def test_a_member_that_never_registered_loops_on_while_it_is_missed() -> None:
    member = ("pool.edge-0",)
    assert loops(looping=member, pool_edge=1)[0].holds
    assert loops(agent("pool.edge-1", 0.0), looping=member, pool_edge=1) == []
    assert loops(looping=member) == []


@pytest.mark.parametrize(
    ("age_s", "told"),
    [
        (20.0, None),
        (21.0, (Severity.WARNING, True)),
        (60.0, (Severity.WARNING, True)),
        (61.0, (Severity.WARNING, False)),
        (301.0, (Severity.CRITICAL, False)),
    ],
)
def test_a_queue_is_old_by_its_oldest_unit(age_s: float, told: tuple[Severity, bool] | None) -> None:
    found = findings(Observations(queues=[QueueSeen("pool.edge", 3, age_s)]))
    assert [(finding.severity, finding.holds) for finding in found] == ([told] if told else [])


def test_an_open_breaker_is_told_and_a_half_open_one_only_holds() -> None:
    long = "node:" + "x" * 500
    found = findings(Observations(breakers=[BreakerSeen(long, True), BreakerSeen("bus", False)]))
    assert [finding.holds for finding in found] == [False, True]
    assert len(found[0].subject) == SUBJECT_CHARS_MAX


def test_an_audit_that_found_differences_is_critical() -> None:
    found = findings(Observations(audits=[AuditSeen("full", True, 0), AuditSeen("incremental", False, 2)]))
    assert [(finding.subject, finding.severity) for finding in found] == [("incremental", Severity.CRITICAL)]


@pytest.mark.parametrize(
    ("requests", "failures", "latency_ms", "told"),
    [
        (19, 19, 5_000, None),
        (1_000, 0, 600, None),
        (1_000, 0, 800, (Severity.WARNING, True)),
        (1_000, 0, 1_000, (Severity.WARNING, False)),
        (1_000, 0, 2_000, (Severity.CRITICAL, False)),
        (1_000, 7, 10, None),
        (1_000, 8, 10, (Severity.WARNING, True)),
        (1_000, 10, 10, (Severity.WARNING, False)),
        (1_000, 11, 10, (Severity.CRITICAL, False)),
        (20, 20, 10, (Severity.CRITICAL, False)),
    ],
)
def test_a_promise_is_at_risk_before_it_is_broken(
    requests: int, failures: int, latency_ms: int, told: tuple[Severity, bool] | None
) -> None:
    measured = Measured(Histogram.of([latency_ms] * (requests - failures)), failures)
    found = findings(Observations(slas=[SlaSeen(ONE, "medium", PROMISE, measured)]))
    assert [(finding.severity, finding.holds) for finding in found] == ([told] if told else [])


def test_a_promise_of_no_failure_at_all_is_broken_by_one() -> None:
    measured = Measured(Histogram.of([1] * 99), 1)
    [finding] = findings(Observations(slas=[SlaSeen(ONE, "x", Promise(1_000, 1_000_000, ()), measured)]))
    assert finding.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("used", "limit", "told"),
    [
        (79, 100, None),
        (80, 100, (Severity.WARNING, True)),
        (90, 100, (Severity.WARNING, False)),
        (100, 100, (Severity.CRITICAL, False)),
        (0, 0, (Severity.CRITICAL, False)),
    ],
)
def test_funds_run_low_and_then_out(used: int, limit: int, told: tuple[Severity, bool] | None) -> None:
    found = findings(Observations(funds=[FundsSeen("budget", ONE, TWO, used, limit)]))
    assert [(finding.severity, finding.holds) for finding in found] == ([told] if told else [])


def test_a_budget_of_everybody_is_told_for_each_account_and_a_wallet_by_itself() -> None:
    found = findings(Observations(funds=[FundsSeen("budget", ONE, TWO, 9, 9), FundsSeen("wallet", TWO, TWO, 9, 9)]))
    assert [finding.subject for finding in found] == [f"budget {ONE} account {TWO}", f"wallet {TWO}"]


def test_a_node_that_fell_silent_with_work_is_told_and_one_without_only_holds() -> None:
    nodes = [NodeSeen(ONE, "a", 1, 0), NodeSeen(TWO, "b", 0, 2), NodeSeen(UUID(int=3), "c", 0, 0)]
    assert [finding.holds for finding in findings(Observations(nodes=nodes))] == [False, False, True]


def test_one_that_was_rolled_back_is_told_as_one_that_cannot_live_as_it_was_changed() -> None:
    found = rolled_back("pool.edge-0")
    assert (found.kind, found.subject, found.severity) == (IncidentKind.CRASH_LOOP, "pool.edge-0", Severity.CRITICAL)
    assert "pool.edge-0 did not get well as changed and was rolled back" in found.summary
