"""Duties that one replica does at a time, and what agents tell of themselves."""

import signal
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from agents.base import Identity
from agents.presence import TOLD_FOR, Presence
from agents.pricing import PricingAgent
from agents.settlement import SettlementAgent
from agents.turns import HOLD_MIN_S, Turns
from backend.bootstrap import new_id, utc_now
from backend.domain.coordination import NamedLease, Put
from backend.domain.ids import AgentId
from backend.services import coordination
from backend.storage.unit_of_work import UnitOfWork
from tests.integration.agents.processes import Start
from tests.integration.services.clock import in_seconds
from tests.market import Market, Statements
from tests.waiting import until

AGENTS = ("settlement-0", "settlement-1")


def identity(name: str) -> Identity:
    return Identity.of_this_process(AgentId(new_id()), name)


class Replica:
    """An agent's turns at one duty, which writes a fact when it is done."""

    def __init__(self, market: Market, name: str) -> None:
        self.name = name
        self.turns = Turns(market.app, identity(name))
        self.do = self.turns.alone("duty", self._duty, 1.0)
        self.done = 0

    def _duty(self, now: datetime, uow: UnitOfWork) -> bool:
        written = coordination.put_facts(uow, now, "duty", [Put("by", self.name)])
        self.done += len(written.facts)
        return True


def holders(market: Market) -> dict[str, str]:
    """Who holds what, by the names of agents."""
    leases: list[NamedLease] = coordination.list_resources(market.app.uow())
    return {lease.name: lease.holder.partition("/")[0] for lease in leases if lease.holder}


def test_one_replica_does_the_duty_until_it_ends_then_the_other_at_once(market: Market) -> None:
    first, second = (Replica(market, name) for name in AGENTS)
    for second_s in range(30):
        assert first.do(in_seconds(second_s))
        assert not second.do(in_seconds(second_s))
    assert (first.done, second.done) == (30, 0)
    first.turns.end()
    assert second.do(in_seconds(30))
    assert not first.do(in_seconds(30))
    assert holders(market) == {"duty": "settlement-1"}


def test_the_duty_of_one_that_fell_silent_goes_to_the_other_when_its_time_is_over(market: Market) -> None:
    first, second = (Replica(market, name) for name in AGENTS)
    first.do(utc_now())
    assert not second.do(in_seconds(HOLD_MIN_S - 1))
    assert second.do(in_seconds(HOLD_MIN_S + 1))
    assert not first.do(in_seconds(HOLD_MIN_S + 2)), "it sees that it was replaced"
    assert second.do(in_seconds(HOLD_MIN_S + 3))


def test_what_one_does_that_was_paused_in_the_middle_and_replaced_is_not_written(market: Market) -> None:
    second = Replica(market, "settlement-1")

    def paused(now: datetime, uow: UnitOfWork) -> bool:
        assert second.do(now + timedelta(seconds=HOLD_MIN_S + 1))
        coordination.put_facts(uow, now, "duty", [Put("by", "the paused one")])
        raise AssertionError("it was written")

    assert not Turns(market.app, identity("settlement-0")).alone("duty", paused, 1.0)(utc_now())
    assert coordination.show_fact(market.app.uow(), utc_now(), "by").value == "settlement-1"


def test_of_two_settlement_agents_one_audits_scores_and_tidies(market: Market) -> None:
    agents = [SettlementAgent(identity(name), market.app) for name in AGENTS]
    try:
        for agent in agents:
            agent.opened()
            agent.tick(utc_now())
        assert holders(market) == dict.fromkeys(
            ("settlement.audit", "settlement.evidence", "settlement.trust"), "settlement-0"
        )
        with market.app.engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM audit_runs")).scalar_one() == 1
        agents[0].drained()
        assert holders(market) == {}
    finally:
        agents[1].drained()


@pytest.mark.slow
def test_when_the_settlement_agent_that_audits_is_killed_the_other_goes_on(market: Market, start: Start) -> None:
    first = start("settlement")
    until(lambda: "settlement.audit" in holders(market), "it holds the audit")
    [before] = coordination.list_resources(market.app.uow(), "settlement.audit")
    second = start("settlement")
    until(second.says("agent.registered"), "the second is up")
    assert second.events("turn.taken") == []
    first.stop(signal.SIGKILL)
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE named_leases SET expires_at = now() - interval '1 s'"))
        uow.commit()
    until(lambda: len(second.events("turn.taken")) >= 2, "it takes over")
    [after] = coordination.list_resources(market.app.uow(), "settlement.trust")
    assert after.fence == before.fence + 1
    assert second.stop() == 0
    assert holders(market).keys() <= {"settlement.evidence"}, "it gave back what it held"


def test_agents_tell_which_version_runs_where_and_say_goodbye(market: Market) -> None:
    pricing, settlement = PricingAgent(identity("p"), market.app), SettlementAgent(identity("s"), market.app)
    for agent in (pricing, settlement):
        agent.opened()
        agent.tick(utc_now())
    found = {fact.key: fact.value for fact in coordination.list_facts(market.app.uow(), utc_now(), "agent.")}
    assert set(found) == {"agent.p", "agent.s"}
    told = found["agent.s"]
    assert isinstance(told, dict)
    assert set(told) == {"kind", "version", "python", "host", "pid", "capabilities"}
    assert (told["kind"], told["pid"]) == ("settlement", settlement.identity.pid)
    assert "audit" in told["capabilities"]
    for agent in (pricing, settlement):
        agent.drained()
    assert coordination.list_facts(market.app.uow(), utc_now(), "agent.") == []


def test_a_successor_of_the_same_name_tells_of_itself_when_the_dead_ones_fact_has_run_out(market: Market) -> None:
    Presence(market.app, "settlement", identity("s"), []).tell(utc_now())
    successor = Presence(market.app, "settlement", identity("s"), ["new"])
    successor.tell(utc_now())
    assert "new" not in str(coordination.show_fact(market.app.uow(), utc_now(), "agent.s").value)
    later = utc_now() + TOLD_FOR + timedelta(seconds=1)
    successor.tell(later)
    assert "new" in str(coordination.show_fact(market.app.uow(), later, "agent.s").value)


def test_a_replica_without_the_turn_asks_in_a_few_statements(market: Market) -> None:
    first, second = (Replica(market, name) for name in AGENTS)
    first.do(utc_now())
    with Statements(market.app.engine) as statements:
        second.do(utc_now())
    assert statements.count == 2
