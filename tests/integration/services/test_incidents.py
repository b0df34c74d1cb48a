"""Incidents on the real database: found, seen again, told once, over, and forgotten."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Forbidden, Invalid, NotFound
from backend.domain.events import Event, Topic
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.ids import AgentId, IncidentId
from backend.domain.incident_rules import LOOP_DEATHS
from backend.domain.incidents import CALM, INCIDENTS_KEPT, Incident, IncidentKind, IncidentState, Severity
from backend.domain.observations import BreakerSeen
from backend.domain.sla import Histogram, Measured
from backend.domain.tiers import TierName
from backend.domain.work import AgentBeat
from backend.services import audit, deposits, fleet, incidents, log, managers, sla, sweeper
from backend.storage.sla import Between, Service
from backend.storage.unit_of_work import UnitOfWork
from tests.integration.services.budgeting import limited, place, supplied
from tests.integration.services.clock import in_seconds
from tests.market import Market, Statements

ADMIN = Principal(None, AgentId(new_id()), Role.ADMIN)  # type: ignore[arg-type]  # nobody's account
CALM_S = max(calm.total_seconds() for calm in CALM.values())


def look(
    market: Market, seconds: float = 0.0, breakers: Sequence[BreakerSeen] = (), blind: bool = False
) -> incidents.Watched:
    """One look, so many seconds from now."""
    return incidents.watch(market.app.uow(), in_seconds(seconds), breakers, blind=blind, webhook=True)


def going_on(market: Market) -> list[tuple[str, str]]:
    """Kinds and subjects of open incidents."""
    found = incidents.list_incidents(market.app.uow(), "open")
    return sorted((str(incident.kind), incident.subject) for incident in found)


def beat(market: Market, name: str, kind: str = "pricing", at: datetime | None = None) -> AgentId:
    agent = AgentId(new_id())
    fleet.beat(market.app.uow(), at or utc_now(), AgentBeat(agent, kind, name, "host", 1))
    return agent


def test_an_agent_that_stops_beating_is_told_once_and_over_when_another_is_in_its_place(market: Market) -> None:
    beat(market, "pricing-0")
    assert look(market).opened == ()
    [opened] = look(market, 10).opened
    assert (opened.kind, opened.subject, opened.severity) == ("agent_lost", "pricing-0", "critical")
    again = look(market, 12)
    assert (again.opened, again.resolved) == ((), ())
    [shown] = incidents.list_incidents(market.app.uow())
    assert shown.id == opened.id
    assert shown.seen_at > opened.seen_at
    beat(market, "pricing-0", at=in_seconds(14))
    assert look(market, 14).resolved == ()
    [over] = look(market, 18).resolved
    assert (over.id, over.state) == (opened.id, IncidentState.RESOLVED)
    assert going_on(market) == []


def test_who_said_goodbye_or_is_not_wanted_any_more_is_not_missed(market: Market) -> None:
    fleet.stopped(market.app.uow(), utc_now(), beat(market, "pricing-0"))
    fleet.set_desired(market.app.uow(), [FleetSpec("allocation", AgentKind.ALLOCATION, replicas=0)])
    beat(market, "allocation-0", "allocation")
    assert look(market, 10).opened == ()


def test_a_member_that_dies_again_and_again_is_told_and_over_when_it_is_steady(market: Market) -> None:
    for number in range(LOOP_DEATHS):
        beat(market, "pricing-0", at=in_seconds(number - 10))
        managers.agent_gone(market.app.uow(), utc_now(), "pricing-0", in_seconds(60))
    living = beat(market, "pricing-0")
    assert [incident.kind for incident in look(market).opened] == ["crash_loop"]
    for second in (20, 60):
        fleet.beat(market.app.uow(), in_seconds(second), AgentBeat(living, "pricing", "pricing-0", "host", 1))
        ended = [incident.kind for incident in look(market, second).resolved]
        assert ended == (["crash_loop"] if second == 60 else []), "it is steady after half a minute"


def test_a_crash_loop_that_its_manager_tells_of_is_known_once(market: Market) -> None:
    uow = market.app.uow
    fleet.set_desired(uow(), [FleetSpec("pricing", AgentKind.PRICING)])
    assert incidents.report_crash_loop(uow(), utc_now(), "pricing-0", 5)
    assert not incidents.report_crash_loop(uow(), utc_now(), "pricing-0", 6)
    assert look(market, 2 * CALM_S).resolved == (), "it never came up"
    assert going_on(market) == [("crash_loop", "pricing-0")]


def test_a_member_that_was_rolled_back_is_told_once_and_over_when_it_is_steady(market: Market) -> None:
    uow = market.app.uow
    fleet.set_desired(uow(), [FleetSpec("pricing", AgentKind.PRICING)])
    living = beat(market, "pricing-0")
    assert incidents.report_rolled_back(uow(), utc_now(), "pricing-0")
    assert not incidents.report_rolled_back(uow(), utc_now(), "pricing-0")
    [incident] = incidents.list_incidents(uow(), "open")
    assert (incident.kind, incident.subject) == ("crash_loop", "pricing-0")
    assert "was rolled back" in incident.summary
    for second in (20, 60, 100):
        fleet.beat(uow(), in_seconds(second), AgentBeat(living, "pricing", "pricing-0", "host", 1))
        look(market, second)
    assert going_on(market) == []


def test_work_that_nobody_takes_makes_its_queue_old(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    assert look(market).opened == ()
    assert ("queue_old", "pool.pool") in [(i.kind, i.subject) for i in look(market, 70).opened]
    executor.commit(executor.claim(market.dispatched()))
    look(market, 70)
    assert ("queue_old", "pool.pool") in going_on(market), "it has to be calm for a while"
    look(market, 70 + CALM_S)
    assert ("queue_old", "pool.pool") not in going_on(market)


def test_an_open_breaker_is_told_and_stays_while_nobody_can_say_what_it_does(market: Market) -> None:
    [opened] = look(market, 0, [BreakerSeen("node:10.0.0.7", True)]).opened
    assert opened.kind is IncidentKind.BREAKER_OPEN
    assert look(market, 500, blind=True).resolved == ()
    assert look(market, 501).resolved == (), "it has to be calm for a while after it could be seen again"
    assert look(market, 502, [BreakerSeen("node:10.0.0.7", False)]).resolved == ()
    assert [incident.id for incident in look(market, 503 + CALM_S).resolved] == [opened.id]


def test_what_is_seen_opens_and_lasts_beside_what_is_not(market: Market) -> None:
    [node] = look(market, 0, [BreakerSeen("node:10.0.0.7", True)]).opened
    [redis] = look(market, 1, [BreakerSeen("redis", True)], blind=True).opened
    assert (redis.kind, redis.subject) == (IncidentKind.BREAKER_OPEN, "redis")
    for seconds in (100, 200):
        again = look(market, seconds, [BreakerSeen("redis", True)], blind=True)
        assert (again.opened, again.resolved) == ((), ())
    assert {incident.id for incident in look(market, 201 + CALM_S).resolved} == {node.id, redis.id}


def test_books_that_do_not_add_up_are_critical_until_they_do(market: Market) -> None:
    audit.audit_recent(market.app.uow(), utc_now())
    assert look(market).opened == ()
    change = "UPDATE ledger_accounts SET posted_nano = posted_nano {} 1 WHERE kind = 'wallet'"
    with market.app.engine.begin() as connection:
        connection.execute(text(change.format("+")))
    audit.audit_recent(market.app.uow(), utc_now())
    [opened] = look(market).opened
    assert (opened.kind, opened.subject, opened.severity) == ("audit_mismatch", "incremental", "critical")
    with market.app.engine.begin() as connection:
        connection.execute(text(change.format("-")))
    audit.audit_recent(market.app.uow(), utc_now())
    assert [incident.id for incident in look(market).resolved] == [opened.id]


def test_a_promise_that_is_about_to_break_is_told_with_its_window(market: Market) -> None:
    between = Between(market.buyer.account_id, market.provider.account_id, TierName.MEDIUM)
    slow = Measured(Histogram.of([5_000] * 30), 0)
    with market.app.uow() as uow:
        sla.count_requests(uow, utc_now(), [Service(between, None, slow, 0)])  # type: ignore[arg-type]  # of no order
        uow.commit()
    [window] = sla.list_windows(market.app.uow(), None)
    [opened] = look(market).opened
    assert (opened.kind, opened.subject, opened.severity) == ("sla_at_risk", str(window.id), "critical")
    sla.close_due(market.app.uow(), utc_now() + timedelta(hours=2))
    assert [incident.id for incident in look(market, CALM_S).resolved] == [opened.id]


def test_a_budget_that_runs_out_is_told_until_it_has_room_again(market: Market) -> None:
    cost = supplied(market)
    budget = limited(market, market.buyer, cost)
    place(market, market.buyer)
    [opened] = look(market).opened
    assert (opened.kind, opened.severity) == ("budget", "critical")
    assert opened.subject == f"budget {budget.id} account {market.buyer.account_id}"
    limited(market, market.buyer, 100 * cost)
    assert [incident.id for incident in look(market).resolved] == [opened.id]


def test_a_wallet_that_runs_low_is_told_until_money_comes_in(market: Market) -> None:
    cost = supplied(market)
    poor = market.account("poor", cost)
    place(market, poor)
    [opened] = look(market).opened
    assert (opened.kind, opened.subject) == ("budget", f"wallet {poor.account_id}")
    deposits.deposit(market.app.uow(), utc_now(), poor.account_id, 100 * cost, "more")
    assert [incident.id for incident in look(market).resolved] == [opened.id]


def test_a_node_that_falls_silent_with_work_is_told_until_it_is_back(market: Market) -> None:
    node = market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    sweeper.sweep(market.app.uow(), in_seconds(5))
    opened = [incident for incident in look(market, 5).opened if incident.kind is IncidentKind.NODE_LOST]
    assert [incident.subject for incident in opened] == [str(node.id)]
    look(market, 100)
    assert ("node_lost", str(node.id)) in going_on(market), "it is still away"
    beat = AgentBeat(executor.id, "inference", "test", "host", 1, executor.queue)
    fleet.beat(market.app.uow(), in_seconds(100 + CALM_S), beat)
    look(market, 100 + CALM_S)
    assert ("node_lost", str(node.id)) not in going_on(market)


def test_two_who_watch_at_once_open_each_incident_once(market: Market) -> None:
    for number in range(20):
        beat(market, f"helper-{number}", at=in_seconds(-30))
    with ThreadPoolExecutor(4) as pool:
        looks = list(pool.map(lambda _: look(market), range(8)))
    assert sum(len(one.opened) for one in looks) == 20
    assert len(going_on(market)) == 20


def test_while_somebody_else_watches_nothing_is_looked_at(market: Market) -> None:
    beat(market, "pricing-0", at=in_seconds(-30))
    with market.app.uow() as other:
        assert other.incidents.take_turn()
        assert look(market) == incidents.Watched()
    assert len(look(market).opened) == 1


def test_a_look_costs_as_many_statements_for_many_agents_as_for_few(market: Market) -> None:
    counts = []
    for number in range(40):
        beat(market, f"helper-{number}", at=in_seconds(-30))
        if number in (1, 3, 39):
            with Statements(market.app.engine) as statements:
                look(market)
            counts.append(statements.count)
    assert counts[1] == counts[2] <= 20


def test_what_was_resolved_long_ago_is_forgotten_with_its_deliveries(market: Market) -> None:
    beat(market, "pricing-0", at=in_seconds(-30))
    look(market)
    fleet.stopped(market.app.uow(), in_seconds(-20), _agent(market))
    assert look(market, 10).resolved
    look(market, INCIDENTS_KEPT.total_seconds() - 60)
    assert len(incidents.list_incidents(market.app.uow())) == 1
    look(market, INCIDENTS_KEPT.total_seconds() + 60)
    assert incidents.list_incidents(market.app.uow()) == []
    with market.app.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM incident_deliveries")).scalar_one() == 0


def _agent(market: Market) -> AgentId:
    with market.app.engine.connect() as connection:
        return AgentId(connection.execute(text("SELECT id FROM agents")).scalar_one())


def test_opening_and_ending_are_announced(market: Market) -> None:
    told: list[Event] = []

    def uow() -> UnitOfWork:
        return UnitOfWork(market.app.engine, told.extend)

    [opened] = incidents.watch(uow(), utc_now(), [BreakerSeen("bus", True)]).opened
    incidents.watch(uow(), in_seconds(CALM_S), ())
    assert told == [
        Event(Topic.INCIDENT_OPENED, str(opened.id)),
        Event(Topic.INCIDENT_RESOLVED, str(opened.id)),
    ]


@pytest.fixture
def opened(market: Market) -> Incident:
    """An incident that goes on."""
    [opened] = look(market, 0, [BreakerSeen("bus", True)]).opened
    return opened


def test_whoever_acknowledges_first_is_kept_and_logged_once(market: Market, opened: Incident) -> None:
    uow = market.app.uow
    first = incidents.acknowledge(uow(), utc_now(), ADMIN, opened.id)
    assert first.acked_at is not None
    assert incidents.acknowledge(uow(), in_seconds(60), ADMIN, opened.id).acked_at == first.acked_at
    assert [entry.subject for entry in log.list_entries(uow(), action="incident.")] == [f"incident {opened.id}"]
    with pytest.raises(Forbidden):
        incidents.acknowledge(uow(), utc_now(), market.provider, opened.id)
    for call in (
        lambda: incidents.acknowledge(uow(), utc_now(), ADMIN, IncidentId(new_id())),
        lambda: incidents.show_incident(uow(), IncidentId(new_id())),
    ):
        with pytest.raises(NotFound):
            call()


def test_lists_are_narrowed_and_paged(market: Market, opened: Incident) -> None:
    uow = market.app.uow
    beat(market, "pricing-0", at=in_seconds(-30))
    [lost] = look(market, 0, [BreakerSeen("bus", True)]).opened
    assert [i.id for i in incidents.list_incidents(uow())] == [lost.id, opened.id]
    assert [i.id for i in incidents.list_incidents(uow(), kind="breaker_open")] == [opened.id]
    assert [i.id for i in incidents.list_incidents(uow(), severity=Severity.CRITICAL)] == [lost.id]
    assert [i.id for i in incidents.list_incidents(uow(), limit=1, before=lost.id)] == [opened.id]
    assert incidents.list_incidents(uow(), "resolved") == []
    for wrong in ({"state": "shut"}, {"kind": "flood"}, {"severity": "mild"}, {"limit": 0}):
        with pytest.raises(Invalid) as refused:
            incidents.list_incidents(uow(), **wrong)
        assert refused.value.field == next(iter(wrong))
