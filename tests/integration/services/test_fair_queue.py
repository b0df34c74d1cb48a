"""Where not everybody can be served: reserved shares, dominant shares, and age."""

from datetime import datetime, timedelta

from backend.bootstrap import utc_now
from backend.domain.auctions import AGED
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import OrderState
from backend.services import orders as service
from backend.storage.order_rows import Order
from tests.market import Executor, Market

HIGH = 9_000_000
LOW = 2_000_000


def place_for(market: Market, principal: object, count: int, at: datetime, **changes: object) -> list[Order]:
    """Orders of an account, placed at a moment."""
    requests = [market.request(deadline_s=86_400, **changes) for _ in range(count)]
    placed = service.place_orders(market.app.uow(), at, principal, requests)  # type: ignore[arg-type]
    assert all(isinstance(order, Order) for order in placed.results), placed.results
    return [order for order in placed.results if isinstance(order, Order)]


def running(market: Market, orders: list[Order]) -> int:
    """How many of these have a lease."""
    return sum(market.show(order).state is OrderState.RUNNING for order in orders)


def test_a_tier_gets_its_reserved_share_however_much_others_bid(market: Market) -> None:
    market.node("a", slots=10, kind="cloud")
    market.executor()
    rich = market.place(30, tier="large", limit_nano_per_slot_s=HIGH, deadline_s=600)
    modest = market.place(30, tier="medium", limit_nano_per_slot_s=LOW, deadline_s=600)
    market.clear()
    assert running(market, modest) == 2  # a fifth of ten slots
    assert running(market, rich) == 8


def test_inside_a_reserved_share_the_account_that_has_least_goes_first(market: Market) -> None:
    other = market.account("other", 1_000 * NANO_PER_CREDIT)
    market.node("a", slots=20, kind="cloud")
    market.executor()
    now = utc_now()
    greedy = place_for(market, market.buyer, 30, now, limit_nano_per_slot_s=LOW)
    late = place_for(market, other, 30, now, limit_nano_per_slot_s=LOW)
    market.place(30, tier="large", limit_nano_per_slot_s=HIGH)
    market.clear()
    with market.app.uow() as uow:
        got = {held.account_id: held.slots for held in uow.leases.held(late[0].market) if held.tier == "medium"}
    assert got == {market.buyer.account_id: 2, other.account_id: 2}  # of four slots that are a fifth of twenty
    assert running(market, greedy) == 2


def test_slots_of_a_heavier_tier_count_for_less_of_an_accounts_share(market: Market) -> None:
    other, rich = (market.account(name, 1_000 * NANO_PER_CREDIT) for name in ("other", "rich"))
    market.node("a", slots=20, kind="cloud")
    market.executor()
    now = utc_now()
    place_for(market, market.buyer, 4, now, tier="large")  # four slots of weight four: as much as two of weight two
    place_for(market, other, 3, now)
    assert market.clear() == 7
    place_for(market, rich, 30, now, tier="large", limit_nano_per_slot_s=HIGH)
    place_for(market, other, 1, now, limit_nano_per_slot_s=LOW)
    [own] = place_for(market, market.buyer, 1, now, limit_nano_per_slot_s=LOW)
    market.clear()
    with market.app.uow() as uow:
        got = {held.account_id: held.slots for held in uow.leases.held(own.market) if held.tier == "medium"}
    assert got == {other.account_id: 3, market.buyer.account_id: 1}  # of four slots that are a fifth of twenty


def test_nobody_starves_an_order_that_can_pay_is_served_within_its_turn_after_it_has_aged(market: Market) -> None:
    """The bound: once aged, an order waits for at most as many epochs as aged ones of its tier are before it.

    Each epoch sells the tier's reserved slots to its aged orders first, however many younger and dearer ones come.
    """
    market.node("a", slots=5, kind="cloud")  # one slot of which is reserved for tier medium
    executor = market.executor()
    start = utc_now() - AGED * 10
    rich = market.account("rich", 100_000 * NANO_PER_CREDIT)
    poor = place_for(market, market.buyer, 3, start, limit_nano_per_slot_s=LOW)
    served: list[int] = []
    for epoch in range(3):
        now = utc_now() + timedelta(milliseconds=epoch)
        place_for(market, rich, 20, now, limit_nano_per_slot_s=HIGH)
        place_for(market, rich, 20, now, tier="large", limit_nano_per_slot_s=HIGH)
        finish(market, executor)
        served.append(sum(market.show(order).state is not OrderState.OPEN for order in poor))
    assert served == [1, 2, 3]


def finish(market: Market, executor: Executor) -> None:
    """One epoch, and all that it leased runs and frees its slots."""
    executor.beat()
    market.clear()
    executor.commit(executor.claim(market.dispatched()))
    while market.settle():
        pass
