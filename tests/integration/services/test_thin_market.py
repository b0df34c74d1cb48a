"""One seller alone, as in every small installation: who can pay its ask is served at once, whatever the spot price."""

from backend.bootstrap import utc_now
from backend.domain.market_rules import RuleChange
from backend.domain.orders import CloseReason, OrderState
from backend.domain.pricing import Market as Place
from backend.services import audit, epochs, market_rules, receipts
from backend.services.epochs import Verdict
from tests.integration.services.earning import ADMIN
from tests.market import ASK, REQUEST, Market

NORTH = Place("fog", "north")
SPOT = ASK // 10


def at_ten_times_the_spot_price(market: Market) -> None:
    """A node of 8 slots alone in its market, at ten times the spot price."""
    market.node("lonely", slots=8)
    with market.app.uow() as uow:
        uow.markets.set_spots({NORTH: (SPOT, 0)}, utc_now())
        uow.commit()


def replayed(market: Market) -> list[Verdict]:
    """What computing each clearing again finds."""
    return [found.verdict for found in epochs.replay_last(market.app.uow(), ADMIN, 10)]


def test_a_seller_alone_above_the_spot_price_sells_at_once_and_at_its_ask_to_who_can_pay(market: Market) -> None:
    at_ten_times_the_spot_price(market)
    executor = market.executor()
    [able] = market.place(workload="batch", requests=[REQUEST] * 4, slots=2, limit_nano_per_slot_s=3 * ASK)
    [just] = market.place(limit_nano_per_slot_s=ASK)
    [unable] = market.place(limit_nano_per_slot_s=ASK - 1)
    market.run(executor)
    for order in (able, just):
        receipt = receipts.receipt(market.app.uow(), order.id, market.buyer)
        assert (receipt.order.state, {s.price_nano_per_slot_s for s in receipt.served}) == (OrderState.SETTLED, {ASK})
    shown = market.show(unable)
    assert (shown.state, shown.reason) == (OrderState.OPEN, CloseReason.LIMIT_BELOW_MARKET)
    assert replayed(market) == [Verdict.EQUAL]
    assert audit.audit_ledger(market.app.uow()).ok


def test_where_one_seller_finds_no_price_an_order_out_of_time_is_told_so_and_costs_nothing(market: Market) -> None:
    market_rules.set_rule(market.app.uow(), utc_now(), ADMIN, "fog", "north", RuleChange(mechanism="mcafee"))
    at_ten_times_the_spot_price(market)
    market.executor()
    [order] = market.place(deadline_s=0, limit_nano_per_slot_s=3 * ASK)
    market.clear()
    market.settle()
    shown = market.show(order)
    assert (shown.state, shown.reason, shown.hint) == (OrderState.EXPIRED, CloseReason.NO_PRICE, None)
    assert (shown.charged_nano, market.wallet().reserved_nano) == (0, 0)
    assert replayed(market) == [Verdict.EQUAL]
    assert audit.audit_ledger(market.app.uow()).ok
