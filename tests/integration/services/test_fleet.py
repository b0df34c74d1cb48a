"""The wanted fleet, who manages it, and the work of agents that are gone."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Forbidden, Invalid, NotFound
from backend.domain.fleet import AgentKind, AgentState, FleetSpec, Resources
from backend.domain.ids import AgentId, ItemId
from backend.domain.orders import OrderState
from backend.domain.scaling import ScalingPolicy
from backend.domain.work import AgentBeat
from backend.services import audit, fleet, log, managers, sweeper
from backend.storage.agents import Sight
from tests.integration.services.clock import in_seconds
from tests.market import Executor, Market

POOL = FleetSpec(
    "pool.edge",
    AgentKind.INFERENCE,
    ("--pool", "edge"),
    2,
    1,
    5,
    "swarmex:1.0",
    Resources(0.5, 512),
    ScalingPolicy(wait_ms=100),
)
ADMIN = None  # the operator at the machine


def state_of(market: Market, agent: UUID) -> str:
    with market.app.engine.connect() as connection:
        return str(connection.execute(text("SELECT state FROM agents WHERE id = :id"), {"id": agent}).scalar_one())


def sights(market: Market, now: datetime | None = None) -> dict[str, Sight]:
    with market.app.uow() as uow:
        return {sight.name: sight for sight in uow.agents.sights(now or utc_now())}


def actions(market: Market) -> list[str]:
    return [told.action for told in log.list_entries(market.app.uow(), action="fleet.")]


def test_an_entry_is_kept_whole_and_each_change_is_logged(market: Market) -> None:
    uow = market.app.uow
    fleet.add_entry(uow(), utc_now(), ADMIN, POOL)
    assert fleet.desired(uow()) == [POOL]
    assert fleet.scale(uow(), utc_now(), ADMIN, "pool.edge", 4).replicas == 4
    fixed = fleet.set_policy(uow(), utc_now(), ADMIN, "pool.edge", None, 0, 3)
    assert (fixed.replicas, fixed.replicas_min, fixed.replicas_max, fixed.policy) == (3, 0, 3, None)
    assert fleet.desired(uow()) == [fixed]
    fleet.remove_entry(uow(), utc_now(), ADMIN, "pool.edge")
    assert fleet.desired(uow()) == []
    assert actions(market) == ["fleet.remove", "fleet.policy", "fleet.scale", "fleet.add"]


def test_an_entry_of_old_keeps_its_defaults(market: Market) -> None:
    spec = FleetSpec("pricing", AgentKind.PRICING)
    fleet.set_desired(market.app.uow(), [spec])
    assert fleet.desired(market.app.uow()) == [spec]


def test_a_start_adds_what_is_missing_and_keeps_what_was_scaled(market: Market) -> None:
    fleet.add_entry(market.app.uow(), utc_now(), ADMIN, POOL)
    other = FleetSpec("pool.edge", AgentKind.INFERENCE, ("--pool", "core"))
    api = FleetSpec("api", AgentKind.API)
    wanted = [replace(POOL, arguments=other.arguments), api]
    assert fleet.ensure(market.app.uow(), [other, api]) == wanted
    assert fleet.desired(market.app.uow()) == wanted[::-1], "by name"


def test_what_cannot_be_is_refused_and_changes_nothing(market: Market) -> None:
    uow = market.app.uow
    fleet.add_entry(uow(), utc_now(), ADMIN, POOL)
    with pytest.raises(Invalid) as refused:
        fleet.scale(uow(), utc_now(), ADMIN, "pool.edge", 6)
    assert (refused.value.field, refused.value.accepted) == ("replicas", "1 to 5")
    for call in (
        lambda: fleet.scale(uow(), utc_now(), ADMIN, "nobody", 1),
        lambda: fleet.set_policy(uow(), utc_now(), ADMIN, "nobody", None),
        lambda: fleet.remove_entry(uow(), utc_now(), ADMIN, "nobody"),
        lambda: fleet.drain_agent(uow(), utc_now(), ADMIN, "nobody-0"),
    ):
        with pytest.raises(NotFound):
            call()
    stranger = Principal(None, market.provider.account_id, Role.PROVIDER)
    for act in (
        lambda: fleet.add_entry(uow(), utc_now(), stranger, POOL),
        lambda: fleet.scale(uow(), utc_now(), stranger, "pool.edge", 1),
        lambda: fleet.remove_entry(uow(), utc_now(), stranger, "pool.edge"),
        lambda: fleet.drain_agent(uow(), utc_now(), stranger, "test"),
    ):
        with pytest.raises(Forbidden):
            act()
    assert fleet.desired(uow()) == [POOL]


def test_the_newest_manager_counts_and_the_older_one_sees_it(market: Market) -> None:
    uow = market.app.uow
    old, new = AgentId(new_id()), AgentId(new_id())
    assert managers.manager_of(uow()) is None
    first = managers.take_over(uow(), utc_now(), old)
    assert managers.look(uow(), utc_now(), first).current
    second = managers.take_over(uow(), utc_now(), new)
    assert second == first + 1
    assert not managers.look(uow(), utc_now(), first).current
    assert managers.look(uow(), utc_now(), second).current
    known = managers.manager_of(uow())
    assert known is not None
    assert (known.generation, known.manager_id) == (second, new)


def test_a_beat_says_what_was_done_and_a_sight_what_is_in_hand_and_waits(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place(2)
    market.clear()
    beat = AgentBeat(executor.id, "inference", "test", "host", 1, executor.queue, None, None, 7, True, 1_500)
    executor.database.agent_beat(beat)
    before = sights(market, in_seconds(0))["test"]
    assert (before.work_done, before.work_waiting, before.tick_age_ms) == (7, True, 1_500)
    assert (before.held, before.queue_waits) == (0, True)
    assert not sights(market, in_seconds(5))["test"].queue_waits, "the broker owes the message: it is not the agent"
    [item] = executor.claim(market.dispatched())
    after = sights(market, in_seconds(0))["test"]
    assert (after.held, after.queue_waits) == (1, False)
    assert after.held_us > 0
    executor.commit([item])
    assert sights(market)["test"].held == 0


def test_one_that_drains_claims_what_reaches_it_stays_with_its_work_and_is_told(market: Market) -> None:
    market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.clear()
    assert fleet.drain_agent(market.app.uow(), utc_now(), ADMIN, "test") == executor.id
    beat = AgentBeat(executor.id, "inference", "test", "host", 1, executor.queue)
    assert executor.database.agent_beat(beat).drain
    items = executor.claim(market.dispatched())
    assert len(items) == 1
    assert sweeper.sweep(market.app.uow(), utc_now()).moved_orders == 0, "it still works on it"
    assert len(executor.commit(items)) == 1
    market.settle()
    assert market.show(order).state is OrderState.SETTLED
    market.place()
    assert market.clear() == 0, "but it gets nothing new"
    assert managers.drain(market.app.uow(), [executor.id]) == 0, "it is at it already"


def claimed(market: Market) -> tuple[list[Executor], list[ItemId]]:
    """Executors of one pool, of which the first has claimed the only item."""
    market.node("a")
    executors = [market.executor() for _ in range(2)]
    for number, executor in enumerate(executors):
        executor.database.agent_beat(
            AgentBeat(executor.id, "inference", f"pool-{number}", "host", number, executor.queue)
        )
        with market.app.uow() as uow:
            uow.connection.execute(
                text("UPDATE agents SET name = :name WHERE id = :id"), {"name": f"pool-{number}", "id": executor.id}
            )
            uow.commit()
    market.place()
    market.clear()
    return executors, [item.item_id for item in executors[0].claim(market.dispatched())]


def test_what_a_gone_agent_held_is_claimed_by_a_living_one_at_once_and_charged_once(market: Market) -> None:
    (dead, living), items = claimed(market)
    assert managers.agent_gone(market.app.uow(), utc_now(), "pool-0", in_seconds(1)) == 1
    assert state_of(market, dead.id) == AgentState.LOST
    assert state_of(market, living.id) == AgentState.UP
    again = living.claim(market.dispatched())
    assert [item.item_id for item in again] == items
    assert len(living.commit(again)) == 1
    assert market.settle() == 1
    assert audit.audit_ledger(market.app.uow()).ok
    assert managers.agent_gone(market.app.uow(), utc_now(), "pool-0", in_seconds(1)) == 0, "once"


def test_a_successor_of_the_same_name_is_not_taken_for_the_gone_one(market: Market) -> None:
    (first, _), _ = claimed(market)
    before = utc_now()
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE agents SET started_at = :at"), {"at": in_seconds(1)})
        uow.commit()
    assert managers.agent_gone(market.app.uow(), utc_now(), "pool-0", before) == 0
    assert state_of(market, first.id) == AgentState.UP


def test_one_that_said_goodbye_stays_stopped(market: Market) -> None:
    (first, _), _ = claimed(market)
    fleet.stopped(market.app.uow(), utc_now(), first.id)
    assert managers.agent_gone(market.app.uow(), utc_now(), "pool-0", in_seconds(1)) == 0
    assert state_of(market, first.id) == AgentState.STOPPED


def test_a_remote_node_that_names_its_agent_like_one_of_ours_speaks_only_for_itself(market: Market) -> None:
    (ours, _), _ = claimed(market)
    stranger = market.node("afar", pool="afar")
    pretender = market.executor("afar")
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE agents SET name = 'pool-0' WHERE id = :id"), {"id": pretender.id})
        uow.connection.execute(
            text("INSERT INTO node_keys (id, node_id, digest, created_at) VALUES (:id, :node, 'x', :now)"),
            {"id": new_id(), "node": stranger.id, "now": utc_now()},
        )
        uow.commit()
    assert sights(market)["pool-0"].id == ours.id
    managers.agent_gone(market.app.uow(), utc_now(), "pool-0", in_seconds(1))
    assert state_of(market, ours.id) == AgentState.LOST
    assert state_of(market, pretender.id) == AgentState.UP
