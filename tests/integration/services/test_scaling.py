"""Queues are observed as they are, and entries with a policy follow them."""

from dataclasses import replace
from datetime import datetime, timedelta

from backend.bootstrap import new_id, utc_now
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.scaling import Cause, ScalingPolicy
from backend.services import fleet, scaling
from backend.storage.fleet import Resize
from backend.storage.loads import QueueLoad
from tests.integration.services.clock import in_seconds
from tests.market import Market, Statements

QUEUE = "pool.pool"
ENTRY = FleetSpec("nodes", AgentKind.INFERENCE, ("--pool", "pool"), 1, 0, 9, policy=ScalingPolicy(items_per_replica=2))


def load(market: Market, now: datetime | None = None) -> QueueLoad:
    with market.app.uow() as uow:
        at = now or utc_now()
        looked = at - timedelta(seconds=5)
        return uow.loads.of_queues([QUEUE, "pool.other"], at, at - scaling.ARRIVALS, looked)[QUEUE]


def test_a_queue_is_seen_with_what_waits_what_runs_who_works_and_what_arrived(market: Market) -> None:
    market.node("a", slots=10)
    assert load(market) == QueueLoad(QUEUE, 0, 0, 0, 0, 0, 0, 0, 0)
    executor = market.executor()
    market.place(3)
    market.clear()
    executor.beat()
    seen = load(market, in_seconds(2))
    assert (seen.backlog, seen.in_flight, seen.living, seen.busy) == (3, 0, 1, 0)
    assert (seen.arrived, seen.arrived_since) == (3, 3)
    assert load(market, in_seconds(6)).arrived_since == 0
    assert 1_900 <= seen.wait_ms_p95 <= 4_000
    items = executor.claim(market.dispatched())
    seen = load(market)
    assert (seen.backlog, seen.in_flight, seen.busy) == (0, 3, 1)
    assert seen.wait_ms_p95 < 2_000, "they waited until they were claimed"
    executor.commit(items)
    assert load(market, in_seconds(11)) == QueueLoad(QUEUE, 0, 0, 0, 0, 0, 0, 0, 0)


def test_orders_that_nobody_can_take_are_seen_while_no_agent_of_the_queue_lives(market: Market) -> None:
    market.node("a", slots=10)
    market.executor()
    market.place(2)
    assert load(market).unserved == 0
    assert load(market, in_seconds(10)).unserved == 2


def test_from_zero_up_with_the_backlog_and_each_decision_is_kept_with_its_reason(market: Market) -> None:
    market.node("a", slots=10)
    market.executor()
    market.place(3)
    fleet.add_entry(market.app.uow(), utc_now(), None, replace(ENTRY, replicas=0))
    memory = scaling.Memory()
    decided = scaling.rescale(market.app.uow(), in_seconds(10), memory)
    assert (decided["nodes"].replicas, decided["nodes"].cause) == (2, Cause.FROM_ZERO)
    assert [spec.replicas for spec in fleet.desired(market.app.uow())] == [2]
    [kept] = fleet.decisions(market.app.uow(), "nodes")
    assert (kept.replicas_before, kept.replicas_after, kept.cause) == (0, 2, "from_zero")
    assert "3 unserved" in kept.reason
    scaling.rescale(market.app.uow(), in_seconds(12), memory)
    scaling.rescale(market.app.uow(), in_seconds(14), memory)
    assert len(fleet.decisions(market.app.uow(), "nodes")) == 2, "the same cause is told once"


def test_entries_without_a_policy_or_a_queue_are_left_alone(market: Market) -> None:
    fixed = [
        replace(ENTRY, policy=None),
        FleetSpec("odd", AgentKind.INFERENCE, policy=ScalingPolicy()),
        FleetSpec("api", AgentKind.API),
    ]
    fleet.set_desired(market.app.uow(), fixed)
    assert scaling.rescale(market.app.uow(), utc_now(), scaling.Memory()) == {}
    assert {spec.name: spec.replicas for spec in fleet.desired(market.app.uow())} == {"nodes": 1, "odd": 1, "api": 1}


def test_decisions_are_bounded_and_the_newest_stay(market: Market) -> None:
    fleet.add_entry(market.app.uow(), utc_now(), None, ENTRY)
    with market.app.uow() as uow:
        for number in range(3):
            some = [Resize(new_id(), "nodes", utc_now(), 0, number * 100 + one, "load", "because") for one in range(50)]
            uow.fleet.remember(some, scaling.DECISIONS_KEPT)
        uow.commit()
    kept = fleet.decisions(market.app.uow(), "nodes", 1_000)
    assert len(kept) == scaling.DECISIONS_KEPT
    assert kept[0].replicas_after == 249


def test_a_look_costs_as_many_statements_for_ten_entries_as_for_one(market: Market) -> None:
    counts = []
    for number in (1, 10):
        specs = [replace(ENTRY, name=f"n{one}", arguments=("--pool", f"p{one}")) for one in range(number)]
        fleet.set_desired(market.app.uow(), specs)
        memory = scaling.Memory()
        scaling.rescale(market.app.uow(), utc_now(), memory)
        with Statements(market.app.engine) as statements:
            scaling.rescale(market.app.uow(), utc_now() + timedelta(seconds=2), memory)
        counts.append(statements.count)
    assert counts[0] == counts[1] <= 3


def test_an_entry_knows_its_queue_by_its_arguments() -> None:
    node = "0190a0a0-0000-7000-8000-000000000001"
    assert scaling.queue_of(ENTRY) == QUEUE
    assert scaling.queue_of(replace(ENTRY, arguments=("--node", node.upper()))) == f"node.{node}"
    assert scaling.queue_of(replace(ENTRY, arguments=("--node", "nonsense"))) is None
    assert scaling.queue_of(replace(ENTRY, arguments=())) is None
