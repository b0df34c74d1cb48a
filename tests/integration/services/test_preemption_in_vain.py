"""Nobody has to leave for an order that would not run on what they leave."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.auctions import AGED
from backend.domain.machines import Needs
from backend.domain.market_rules import RuleChange
from backend.domain.orders import OrderState
from backend.domain.pricing import Market as Where
from backend.services import market_rules, sessions
from backend.storage.order_rows import Order
from tests.integration.services.test_fair_queue import place_for
from tests.integration.services.test_preemption import AFTER, HIGH, evict
from tests.market import ASK, Executor, Market, Statements

ADMIN = Principal(None, None, Role.ADMIN)  # type: ignore[arg-type]  # the operator, who has no account
CLOUD = Where("cloud", "north")


def interruptible(market: Market, region: str = "north") -> Order:
    """An order that runs and may be interrupted."""
    [order] = market.place(interruptible=True, limit_nano_per_slot_s=2 * ASK, deadline_s=600, region=region)
    market.clear()
    assert market.show(order).state is OrderState.RUNNING
    return order


@pytest.fixture
def busy(market: Market) -> Market:
    """A node of one slot in cloud/north, on which interruptible work of tier medium runs."""
    market.node("a", kind="cloud")
    market.executor()
    interruptible(market)
    return market


def rule(market: Market, mechanism: str) -> None:
    """Let cloud/north clear by a mechanism."""
    market_rules.set_rule(market.app.uow(), utc_now(), ADMIN, "cloud", "north", RuleChange(mechanism=mechanism))


def test_nobody_leaves_for_a_limit_below_the_spot_price(busy: Market) -> None:
    with busy.app.uow() as uow:
        uow.markets.set_spots({CLOUD: (2 * HIGH, 0)}, utc_now())
        uow.commit()
    busy.place(tier="large", limit_nano_per_slot_s=HIGH)
    busy.clear()
    assert evict(busy) == 0


def test_nobody_leaves_where_one_order_alone_has_no_auction(busy: Market) -> None:
    rule(busy, "mcafee")
    busy.place(tier="large", limit_nano_per_slot_s=HIGH)
    busy.clear()
    assert evict(busy) == 0


def test_nobody_leaves_for_an_auction_that_only_they_would_complete(busy: Market) -> None:
    busy.node("b", kind="cloud", ask=ASK + 1)
    rule(busy, "mcafee")  # one order alone trades with neither node, with the work that left it would
    busy.place(tier="large", limit_nano_per_slot_s=HIGH)
    busy.clear()
    assert evict(busy) == 0


def test_where_orders_with_needs_trade_alone_work_leaves_for_them(busy: Market) -> None:
    rule(busy, "mcafee")
    [urgent] = busy.place(tier="large", limit_nano_per_slot_s=HIGH, needs=Needs(cores=1))
    busy.clear()
    assert evict(busy) == 1
    busy.clear()
    assert busy.show(urgent).state is OrderState.RUNNING


def test_nobody_leaves_for_an_order_that_somebody_dearer_would_outbid(busy: Market) -> None:
    busy.place(limit_nano_per_slot_s=2 * HIGH)  # of the same tier as what runs: nobody leaves for it
    busy.place(tier="large", limit_nano_per_slot_s=HIGH)
    busy.clear()
    assert evict(busy) == 0


def test_nobody_leaves_who_would_get_the_slot_again_as_their_tiers_share(market: Market) -> None:
    market.node("a", slots=5, kind="cloud")  # a slot of which is reserved for tier medium
    market.executor()
    market.place(4, tier="large", limit_nano_per_slot_s=HIGH, deadline_s=600)
    interruptible(market)
    market.place(tier="large", limit_nano_per_slot_s=HIGH)
    market.clear()
    assert evict(market) == 0


def test_work_that_was_placed_long_ago_leaves_as_other_work_does(market: Market) -> None:
    market.node("a", kind="cloud")
    market.executor()
    start = utc_now() - 2 * AGED
    [old] = place_for(market, market.buyer, 1, start, interruptible=True, limit_nano_per_slot_s=2 * ASK)
    market.clear()
    [urgent] = market.place(tier="large", limit_nano_per_slot_s=HIGH, deadline_s=600)
    market.clear()
    assert evict(market) == 1
    market.clear()
    assert [market.show(order).state for order in (old, urgent)] == [OrderState.OPEN, OrderState.RUNNING]


def test_who_leaves_a_remote_node_makes_room_for_a_session_as_elsewhere(market: Market) -> None:
    node = market.node("attic", kind="cloud")
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE nodes SET queue = 'remote.attic' WHERE id = :id"), {"id": node.id})
    market.keep_alive(Executor(market.node_database, "remote.attic").beat)
    interruptible(market)
    market.node("rack", kind="cloud")
    market.executor()
    sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "large", HIGH)
    market.place(limit_nano_per_slot_s=2 * HIGH)
    market.clear()
    assert evict(market) == 1


@pytest.mark.parametrize("change", ["nodes SET state = 'draining'", "agents SET beat_at = '2020-01-01T00:00:00Z'"])
def test_nobody_leaves_a_node_that_takes_no_new_work(busy: Market, change: str) -> None:
    busy.place(tier="large", limit_nano_per_slot_s=HIGH)
    with busy.app.engine.begin() as connection:
        connection.execute(text(f"UPDATE {change}"))
    busy.clear(utc_now())
    assert evict(busy) == 0


def test_nobody_leaves_while_the_orders_next_market_has_free_slots(busy: Market) -> None:
    busy.node("b", kind="cloud", region="south", ask=2 * ASK)
    [urgent] = busy.place(tier="large", limit_nano_per_slot_s=HIGH, priority="cost")
    assert urgent.markets == ["cloud/north", "cloud/south"]
    busy.clear()
    busy.clear()
    assert busy.show(urgent).state is OrderState.RUNNING
    assert evict(busy) == 0


def test_work_leaves_in_the_last_of_an_orders_markets_only(busy: Market) -> None:
    busy.node("b", kind="cloud", region="south", ask=2 * ASK)
    busy.place(limit_nano_per_slot_s=2 * ASK, region="south", deadline_s=600)  # this stays
    busy.clear()
    [urgent] = busy.place(tier="large", limit_nano_per_slot_s=HIGH, priority="cost", deadline_s=600)
    assert urgent.markets == ["cloud/north", "cloud/south"]
    for _ in range(3):
        busy.clear()
    assert evict(busy) == 0


def test_nobody_leaves_for_an_order_that_lost_its_node_before_it_has_looked_around(busy: Market) -> None:
    busy.node("b", kind="cloud", region="south", ask=2 * ASK)
    [urgent] = busy.place(tier="large", limit_nano_per_slot_s=HIGH, priority="latency")
    with busy.app.engine.begin() as connection:  # where it ran, as it comes back: without a reason
        statement = "UPDATE orders SET markets = '[\"cloud/south\", \"cloud/north\"]', region = 'north' WHERE id = :id"
        connection.execute(text(statement), {"id": urgent.id})
    busy.clear()
    assert busy.show(urgent).region == "south"
    assert evict(busy) == 0


def test_after_a_round_without_success_work_leaves_in_the_last_market(market: Market) -> None:
    market.node("a", kind="cloud")
    market.executor()
    market.place(limit_nano_per_slot_s=2 * ASK, deadline_s=600)  # this stays
    market.clear()
    market.node("b", kind="cloud", region="south", ask=2 * ASK)
    interruptible(market, "south")
    [urgent] = market.place(tier="large", limit_nano_per_slot_s=HIGH, priority="cost")
    assert urgent.markets == ["cloud/north", "cloud/south"]
    market.clear()
    assert evict(market) == 0
    market.clear()
    assert evict(market) == 1
    market.clear()
    assert market.show(urgent).state is OrderState.RUNNING


def test_notice_takes_as_many_statements_for_one_order_as_for_forty(market: Market) -> None:
    market.node("a", slots=40, kind="cloud")
    market.executor()
    market.place(40, interruptible=True, limit_nano_per_slot_s=2 * ASK, deadline_s=600)
    market.clear()
    counts = []
    for size in (1, 40):
        market.place(size, tier="large", limit_nano_per_slot_s=HIGH, deadline_s=600)
        market.place(limit_nano_per_slot_s=2 * ASK)  # somebody is told why they get nothing
        now = utc_now()
        with Statements(market.app.engine) as statements:
            market.clear(now)
        counts.append(statements.count)
        with market.app.uow() as uow:
            told = len(uow.interruptions.due(now + AFTER + timedelta(seconds=1), 100))
        assert told == {1: 1, 40: 32}[size]  # a fifth of the slots is the share of tier medium, who would come back
    assert counts[0] == counts[1]
