"""Who wants a whole node gets one, however many want a slot of it."""

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.auctions import AGED
from backend.domain.machines import Needs
from backend.domain.market_rules import RuleChange
from backend.domain.orders import OrderState
from backend.domain.pricing import Market as Where
from backend.services import epochs, market_rules
from backend.services.epochs import Verdict
from backend.services.queueing import KEPT
from backend.storage.order_rows import Order
from tests.integration.services.test_fair_queue import HIGH, LOW, place_for
from tests.integration.services.test_preemption import evict
from tests.market import Executor, Market

ADMIN = Principal(None, None, Role.ADMIN)  # type: ignore[arg-type]  # the operator, who has no account
OLD = AGED * 2


class Trickle:
    """Orders of one slot, of which one ends and others come in each epoch."""

    def __init__(self, market: Market, executor: Executor) -> None:
        self._market, self._executor = market, executor
        market.place(2, limit_nano_per_slot_s=HIGH, deadline_s=600)
        market.clear()
        self._claimed = executor.claim(market.dispatched())

    def epoch(self) -> None:
        """One lease ends, three orders come."""
        self._executor.beat()
        self._market.place(3, limit_nano_per_slot_s=HIGH, deadline_s=600)
        if self._claimed:
            self._executor.commit([self._claimed.pop(0)])
        while self._market.settle():
            pass
        self._market.clear()
        self._claimed += self._executor.claim(self._market.dispatched())


def whole(market: Market, slots: int = 2, limit: int = 2 * HIGH, age: object = OLD, **changes: object) -> Order:
    """An order for a whole node, placed a while ago."""
    at = utc_now() - age  # type: ignore[operator]  # a time delta
    needs = Needs(dedicated=True)
    return place_for(market, market.buyer, 1, at, slots=slots, needs=needs, limit_nano_per_slot_s=limit, **changes)[0]


@pytest.fixture
def trickle(market: Market) -> Trickle:
    """A node of two slots, both busy, and more who want one."""
    market.node("a", slots=2, kind="cloud")
    return Trickle(market, market.executor())


def test_an_aged_order_gets_a_node_when_the_leases_that_ran_on_it_have_ended(market: Market, trickle: Trickle) -> None:
    """The bound: no longer than the leases that run on the node when it is chosen, however many want a slot."""
    order = whole(market)
    trickle.epoch()
    waiting = market.show(order)
    assert waiting.state is OrderState.OPEN
    with market.app.uow() as uow:
        [node] = uow.nodes.owned_by(None, utc_now())
    assert waiting.hint is not None
    assert (waiting.hint[KEPT], node.busy_slots) == (str(node.id), 1)
    trickle.epoch()
    assert market.show(order).state is OrderState.RUNNING
    replays = epochs.replay_last(market.app.uow(), ADMIN, 100)
    assert {replay.verdict for replay in replays} == {Verdict.EQUAL}


def test_of_two_nodes_the_one_that_was_chosen_stays_so_though_another_comes_nearer_to_idle(market: Market) -> None:
    market.node("a", slots=3, kind="cloud", pool="a")
    market.node("b", slots=3, kind="cloud", pool="b")
    agents = [market.executor("a"), market.executor("b")]
    market.place(6, limit_nano_per_slot_s=HIGH, deadline_s=600)
    market.clear()
    sent = market.dispatched()
    first, second = (agent.claim(sent) for agent in agents)
    order = whole(market, slots=3)
    told = []
    for agent, items in ((agents[0], first[:1]), (agents[1], second[:2]), (agents[0], first[1:])):
        agent.commit(items)
        market.settle()
        market.clear()
        told.append((market.show(order).hint or {}).get(KEPT))
        for each in agents:
            each.beat()
    assert told[0] == told[1] is not None
    assert market.show(order).state is OrderState.RUNNING


def test_only_one_node_of_a_market_is_kept_at_a_time(market: Market) -> None:
    for name in "ab":
        market.node(name, slots=2, kind="cloud", pool=name)
    agents = [market.executor("a"), market.executor("b")]
    market.place(4, limit_nano_per_slot_s=HIGH, deadline_s=600)
    market.clear()
    sent = market.dispatched()
    for agent in agents:
        agent.commit(agent.claim(sent)[:1])
    market.settle()
    for _ in range(2):
        whole(market)
    market.place(2, limit_nano_per_slot_s=HIGH)
    market.clear()
    with market.app.uow() as uow:
        assert sorted(node.busy_slots for node in uow.nodes.owned_by(None, utc_now())) == [1, 2]


def test_a_younger_order_of_a_higher_tier_does_not_take_the_node_that_was_kept(
    market: Market, trickle: Trickle
) -> None:
    order = whole(market)
    trickle.epoch()
    later = whole(market, age=AGED * 0, tier="enterprise", limit=3 * HIGH)
    trickle.epoch()
    assert [market.show(each).state for each in (order, later)] == [OrderState.RUNNING, OrderState.OPEN]


@pytest.mark.parametrize("why", ["young", "below the spot price", "below the ask", "under the other rules"])
def test_nothing_is_withheld_that_would_not_help(market: Market, trickle: Trickle, why: str) -> None:
    limits = {"below the spot price": LOW, "below the ask": LOW // 4}
    if why == "under the other rules":
        market_rules.set_rule(market.app.uow(), utc_now(), ADMIN, "cloud", "north", RuleChange(mechanism="mcafee"))
    with market.app.uow() as uow:
        uow.markets.set_spots({Where("cloud", "north"): (LOW + 1 if why.endswith("price") else 1, 0)}, utc_now())
        uow.commit()
    order = whole(market, limit=limits.get(why, 2 * HIGH), age=AGED * (why != "young"))
    trickle.epoch()
    shown = market.show(order)
    assert (shown.state, KEPT in (shown.hint or {})) == (OrderState.OPEN, False)
    if why != "under the other rules":
        with market.app.uow() as uow:
            [node] = uow.nodes.owned_by(None, utc_now())
        assert node.busy_slots == 2


def test_whoever_has_other_markets_looks_there_before_a_node_is_kept(market: Market, trickle: Trickle) -> None:
    market.node("b", slots=2, kind="cloud", region="south", ask=4_000_000)
    order = whole(market, priority="cost")
    assert order.markets == ["cloud/north", "cloud/south"]
    trickle.epoch()
    assert KEPT not in (market.show(order).hint or {})
    market.clear()
    assert market.show(order).state is OrderState.RUNNING


def test_who_waits_for_a_node_to_empty_stays_in_its_market(market: Market) -> None:
    market.node("a", slots=2, kind="cloud", pool="a")
    agents = [market.executor("a"), market.executor("b")]
    market.place(2, limit_nano_per_slot_s=HIGH, deadline_s=600)
    market.clear()
    market.node("b", slots=2, kind="cloud", region="south", ask=4_000_000, pool="b")
    market.place(2, limit_nano_per_slot_s=HIGH, deadline_s=600, region="south")
    market.clear()
    items = agents[1].claim(market.dispatched())
    order = whole(market, priority="cost")
    assert order.markets == ["cloud/north", "cloud/south"]
    agents[1].commit(items[:1])
    market.settle()
    for _ in range(4):
        market.clear()
    assert market.show(order).region == "south"
    agents[1].commit(items[1:])
    market.settle()
    market.clear()
    assert market.show(order).state is OrderState.RUNNING


def test_no_work_has_to_leave_a_node_that_empties_for_somebody_else(market: Market) -> None:
    market.node("a", slots=3, kind="cloud")
    executor = market.executor()
    market.place(2, limit_nano_per_slot_s=LOW, deadline_s=600)
    market.clear()
    items = executor.claim(market.dispatched())
    market.place(limit_nano_per_slot_s=LOW, deadline_s=600, interruptible=True)
    market.clear()
    executor.commit(items[:1])
    market.settle()
    whole(market, slots=3)
    market.place(tier="large", limit_nano_per_slot_s=HIGH, deadline_s=600)
    market.clear()
    assert evict(market) == 0


def test_the_wait_for_a_whole_node_makes_nobody_elses_order_older(market: Market) -> None:
    market.node("a", kind="cloud")
    market.executor()
    market.place(tier="large", limit_nano_per_slot_s=HIGH, deadline_s=600)
    market.clear()
    market.node("b", slots=2, kind="cloud")
    whole(market, slots=1)  # for which the idle node is too large
    [young] = market.place(limit_nano_per_slot_s=LOW)
    dear = market.place(2, tier="large", limit_nano_per_slot_s=HIGH)
    market.clear()
    assert market.show(young).state is OrderState.OPEN
    assert {market.show(order).state for order in dear} == {OrderState.RUNNING}


def test_a_node_that_was_kept_before_an_order_ran_is_not_what_it_waits_for_afterwards(market: Market) -> None:
    nodes = [market.node(name, slots=3, kind="cloud", pool=name) for name in "ab"]
    agents = [market.executor("a"), market.executor("b")]
    market.place(6, limit_nano_per_slot_s=HIGH, deadline_s=600)
    market.clear()
    sent = market.dispatched()
    for count, agent in enumerate(agents, start=1):
        agent.commit(agent.claim(sent)[:count])
    market.settle()
    order = whole(market, slots=3)
    with market.app.engine.begin() as connection:  # as it comes back when its node is lost
        statement = (
            "UPDATE orders SET hint = jsonb_build_object(CAST(:kept AS text), CAST(:node AS text)) WHERE id = :id"
        )
        connection.execute(text(statement), {"kept": KEPT, "node": str(nodes[0].id), "id": order.id})
    market.clear()
    assert (market.show(order).hint or {}).get(KEPT) == str(nodes[1].id)
