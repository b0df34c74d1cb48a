"""In a market too small for shares of whole slots nobody starves either."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.auctions import AGED
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import OrderState
from tests.integration.services.test_fair_queue import HIGH, LOW, finish, place_for
from tests.market import Market


@pytest.mark.parametrize("slots", [1, 2, 3, 4])
def test_an_aged_order_waits_for_no_more_epochs_than_aged_ones_of_its_tier_are_before_it(
    market: Market, slots: int
) -> None:
    """The bound, where a tier's share is less than a slot: a slot that comes free goes to its oldest aged order."""
    market.node("a", slots=slots, kind="cloud")
    executor = market.executor()
    rich = market.account("rich", 100_000 * NANO_PER_CREDIT)
    poor = place_for(market, market.buyer, 3, utc_now() - AGED * 10, limit_nano_per_slot_s=LOW)
    served: list[int] = []
    for epoch in range(3):
        place_for(market, rich, 20, utc_now() + timedelta(milliseconds=epoch), tier="large", limit_nano_per_slot_s=HIGH)
        finish(market, executor)
        served.append(sum(market.show(order).state is not OrderState.OPEN for order in poor))
    assert served == [1, 2, 3]


def test_where_one_slot_must_do_for_all_tiers_the_oldest_aged_order_gets_it(market: Market) -> None:
    market.node("a", kind="cloud")
    executor = market.executor()
    rich = market.account("rich", 100_000 * NANO_PER_CREDIT)
    start = utc_now() - AGED * 10
    tiers = ["large", "medium", "large", "medium"]
    aged = [
        place_for(market, market.buyer, 1, start + timedelta(seconds=n), tier=tier, limit_nano_per_slot_s=LOW)[0]
        for n, tier in enumerate(tiers)
    ]
    for turn in range(len(tiers)):
        place_for(market, rich, 5, utc_now(), tier="enterprise", region="north", limit_nano_per_slot_s=HIGH)
        finish(market, executor)
        states = [market.show(order).state is not OrderState.OPEN for order in aged]
        assert states == [n <= turn for n in range(len(tiers))]


def test_an_order_that_has_not_aged_gets_no_slot_for_less_than_others_pay(market: Market) -> None:
    market.node("a", slots=4, kind="cloud")
    executor = market.executor()
    [young] = market.place(limit_nano_per_slot_s=LOW)
    market.place(20, tier="large", limit_nano_per_slot_s=HIGH)
    finish(market, executor)
    assert market.show(young).reason == "outbid"
