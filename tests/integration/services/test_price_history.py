"""Prices over time: a point for each epoch, what moved it, how much of it is kept, and what a price usually is."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Invalid, NotFound
from backend.domain.market_rules import RuleChange
from backend.domain.nodes import NodeSpec
from backend.domain.pricing import EPOCH_S, PRICE_POINTS_KEPT, STEP_MAX_PPM, Cause, PricePoint
from backend.domain.pricing import Market as Place
from backend.services import market_rules, markets, nodes, pricing
from backend.storage.price_points import USUAL_DAYS, Stretch
from tests.integration.services.clock import in_seconds
from tests.integration.services.earning import ADMIN
from tests.market import ASK, Market, Statements

NORTH = Place("fog", "north")


def live(market: Market) -> None:
    """Nodes that live through every moment of a test."""
    market.executor()
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE agents SET beat_at = now() + interval '1 day'")


def priced(market: Market, *epochs: int) -> list[PricePoint]:
    """The history after these epochs of the one market, newest first."""
    for epoch in epochs:
        assert pricing.reprice(market.app.uow(), in_seconds(epoch * (EPOCH_S + 1))) == 1
    return pricing.price_history(market.app.uow(), Stretch())


def point(days_ago: float, spot: int, market: Place = NORTH) -> PricePoint:
    """A point of the past."""
    return PricePoint(market, utc_now() - timedelta(days=days_ago), spot, 0, 1, 0, Cause.STEADY)


def remember(market: Market, *points: PricePoint) -> None:
    """Put points into the history of markets that exist."""
    with market.app.uow() as uow:
        uow.markets.set_spots({p.market: (p.spot_nano_per_slot_s, 0) for p in points}, utc_now())
        uow.price_points.add(points)
        uow.commit()


def test_each_epoch_leaves_a_point_that_says_what_moved_the_price(market: Market) -> None:
    market.node("a", slots=4)
    live(market)
    newest, opening = priced(market, 0, 1)
    assert (opening.market, opening.spot_nano_per_slot_s, opening.cause) == (NORTH, ASK, Cause.OPENED)
    assert (newest.spot_nano_per_slot_s, newest.cause) == (ASK, Cause.HELD_AT_ASK)
    assert (newest.slots, newest.busy_slots, newest.utilisation_ppm) == (4, 0, 0)
    assert pricing.reprice(market.app.uow(), in_seconds(EPOCH_S + 2)) == 0
    assert len(pricing.price_history(market.app.uow(), Stretch())) == 2


def test_orders_that_wait_for_more_slots_than_there_are_raise_the_price_by_the_whole_step(market: Market) -> None:
    market.node("a", slots=1)
    live(market)
    priced(market, 0)
    market.place(3)
    [newest, _] = priced(market, 1)
    assert newest.cause is Cause.DEMAND_UNMET
    assert newest.spot_nano_per_slot_s == ASK * (1_000_000 + STEP_MAX_PPM) // 1_000_000
    assert newest.busy_slots == 0


def test_orders_below_the_spot_price_move_no_price(market: Market) -> None:
    market.node("a", slots=1, ask=ASK)
    live(market)
    priced(market, 0)
    market.place(3, limit_nano_per_slot_s=ASK)
    with market.app.uow() as uow:
        uow.markets.set_spots({NORTH: (2 * ASK, 0)}, in_seconds(-60))
        uow.commit()
        assert uow.markets.waiting_slots() == {}
    [newest, _] = priced(market, 1)
    assert (newest.cause, newest.spot_nano_per_slot_s < 2 * ASK) == (Cause.BELOW_TARGET, True)


def test_pricing_takes_as_many_statements_for_ten_markets_as_for_one(market: Market) -> None:
    live(market)
    counts = []
    for regions in (["north"], [f"r{n}" for n in range(9)]):
        for region in regions:
            spec = NodeSpec(region, "fog", region, 1, "pool")
            node = nodes.register_node(market.app.uow(), utc_now(), market.provider.account_id, spec)
            nodes.offer(market.app.uow(), utc_now(), node.id, ASK, market.provider)
        with Statements(market.app.engine) as statements:
            repriced = pricing.reprice(market.app.uow(), in_seconds(60 * len(regions)))
        counts.append((repriced, statements.count))
    assert counts == [(1, 5), (10, 5)]


def test_the_history_is_told_newest_first_from_one_moment_to_another(market: Market) -> None:
    south = Place("cloud", "south")
    remember(market, *(point(days, 1_000 + days) for days in range(1, 6)), point(2.5, 7, south))
    uow = market.app.uow

    def told(limit: int = 100, **stretch: object) -> list[int]:
        found = pricing.price_history(uow(), Stretch(**stretch), limit)  # type: ignore[arg-type]  # a test's own words
        return [p.spot_nano_per_slot_s for p in found]

    assert told() == [1_001, 1_002, 7, 1_003, 1_004, 1_005]
    assert told(region="north", limit=2) == [1_001, 1_002]
    assert told(resource_class="cloud") == [7]
    with pytest.raises(NotFound) as refused:
        told(region="nowhere")
    assert (refused.value.code, refused.value.accepted) == ("unknown_region", "north, south")
    assert told(since=utc_now() - timedelta(days=3.5), before=utc_now() - timedelta(days=1.5)) == [1_002, 7, 1_003]


@pytest.mark.parametrize("limit", [0, -1, pricing.HISTORY_MAX + 1])
def test_no_more_history_is_told_at_once_than_its_limit(market: Market, limit: int) -> None:
    with pytest.raises(Invalid) as refused:
        pricing.price_history(market.app.uow(), Stretch(), limit)
    assert (refused.value.code, refused.value.field) == ("invalid_limit", "limit")


def test_what_is_older_than_it_is_kept_is_forgotten_in_batches(market: Market) -> None:
    kept = PRICE_POINTS_KEPT.days
    remember(market, *(point(kept - 2 + days, 100 + days) for days in (0, 1, 3, 4, 5)))
    forget = pricing.forget_prices
    assert [forget(market.app.uow(), utc_now(), limit=2) for _ in range(3)] == [2, 1, 0]
    assert [p.spot_nano_per_slot_s for p in pricing.price_history(market.app.uow(), Stretch())] == [100, 101]


def test_what_a_price_usually_is_comes_from_the_same_hour_of_earlier_days(market: Market) -> None:
    in_three_hours = 3 / 24
    earlier = [point(day - in_three_hours + 0.01, spot) for day, spot in ((1, 100), (2, 300), (USUAL_DAYS + 1, 9_000))]
    remember(market, *earlier, point(1, 7_000, Place("cloud", "south")))
    now = utc_now()
    with market.app.uow() as uow:
        [usual] = uow.price_points.usual([NORTH], now)
    assert (usual.market, usual.days, usual.spot_nano) == (NORTH, 2, 200)
    assert usual.at == now + timedelta(hours=3)


def test_bounds_that_an_admin_sets_hold_for_the_first_price_and_from_the_next_epoch_on(market: Market) -> None:
    def bound(floor_nano: int) -> None:
        change = RuleChange(floor_nano=floor_nano)
        market_rules.set_rule(market.app.uow(), utc_now(), ADMIN, "fog", "north", change)

    market.node("a")
    live(market)
    bound(5 * ASK)
    [shown] = markets.list_prices(market.app.uow(), utc_now())
    assert shown.spot_nano_per_slot_s == 5 * ASK
    [opening] = priced(market, 0)
    assert (opening.spot_nano_per_slot_s, opening.cause) == (5 * ASK, Cause.OPENED)
    assert priced(market, 1)[0].cause is Cause.AT_FLOOR
    bound(9 * ASK)
    newest = priced(market, 2)[0]
    assert (newest.spot_nano_per_slot_s, newest.cause) == (9 * ASK, Cause.AT_FLOOR)
    bound(ASK)
    assert priced(market, 3)[0].cause is Cause.BELOW_TARGET
