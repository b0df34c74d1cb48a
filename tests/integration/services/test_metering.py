"""Usage is charged at the price of its time, and what cannot be billed is refused by itself."""

from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.cloudevents import EVENTS_MAX
from backend.domain.errors import Forbidden, Invalid, TooLarge
from backend.domain.metering import UsageState
from backend.services import log, metering, meters
from backend.services.metering import Receipt
from tests.integration.services.usage import (
    FUNDS,
    METER,
    OPERATOR,
    PRICE,
    add_meter,
    earned,
    event,
    send,
    told,
)
from tests.market import Market, Statements

pytestmark = pytest.mark.usefixtures("books_in_order")


def test_usage_is_charged_to_its_account_and_paid_to_the_meters_provider(market: Market) -> None:
    add_meter(market, pays=market.provider)
    [outcome] = send(market, event(quantity="2.5"))
    assert outcome.receipt is Receipt.ACCEPTED
    assert outcome.usage
    assert (outcome.usage.state, outcome.usage.amount_nano) == (UsageState.CHARGED, 2_500_000)
    assert market.wallet().wallet_nano == FUNDS - 2_500_000
    assert market.wallet().reserved_nano == 0
    assert earned(market, market.provider) == 2_500_000


def test_without_a_provider_the_market_earns_it_as_a_fee(market: Market) -> None:
    add_meter(market)
    send(market, event())
    [row] = rows(market, "SELECT kind, amount_nano FROM transfers WHERE kind IN ('charge', 'fee')")
    assert row == ("fee", 2 * PRICE)


def test_an_account_is_named_by_its_name_or_its_id(market: Market) -> None:
    add_meter(market)
    outcomes = send(market, event(1), event(2, subject=str(market.buyer.account_id)))
    assert {outcome.usage.account_id for outcome in outcomes if outcome.usage} == {market.buyer.account_id}


def test_a_fraction_of_a_nano_is_rounded_up_and_what_costs_nothing_is_free(market: Market) -> None:
    add_meter(market, price=1)
    add_meter(market, name="gratis", price=0)
    outcomes = send(market, event(1, "0.000001"), event(2, "0"), event(3, "7", type="gratis"))
    assert told(outcomes) == ["charged", "free", "free"]
    assert market.wallet().wallet_nano == FUNDS - 1


def test_one_bad_event_does_not_sink_the_rest(market: Market) -> None:
    add_meter(market)
    documents = [
        event(1),
        event(2, subject="nobody"),
        "no event",
        event(3, type="no.meter"),
        event(4, "-1"),
        event(5, specversion="0.3"),
        event(6, time="2020-01-01T00:00:00Z"),
        event(7, time="2099-01-01T00:00:00Z"),
        event(8),
    ]
    outcomes = send(market, *documents)
    assert told(outcomes) == [
        "charged",
        "unknown_account",
        "invalid_event",
        "unknown_meter",
        "invalid_quantity",
        "invalid_specversion",
        "time_too_old",
        "time_in_future",
        "charged",
    ]
    assert [outcome.refusal.field for outcome in outcomes if outcome.refusal][:4] == [
        "subject",
        "event",
        "type",
        "data.quantity",
    ]
    assert len(metering.list_usage(market.app.uow(), None)) == 2


def test_usage_that_costs_more_than_can_be_moved_is_refused(market: Market) -> None:
    add_meter(market, price=10**18)
    assert told(send(market, event(quantity="2"), event(2, "0.5"))) == ["invalid_amount", "unpaid"]


def test_only_admins_report_and_only_so_many_at_once(market: Market) -> None:
    with pytest.raises(Forbidden):
        metering.ingest(market.app.uow(), utc_now(), market.buyer, [event()])
    with pytest.raises(TooLarge):
        send(market, *[event()] * (EVENTS_MAX + 1))
    assert told(send(market, 1, None)) == ["invalid_event", "invalid_event"]


def test_an_empty_batch_is_a_batch(market: Market) -> None:
    with Statements(market.app.engine) as statements:
        assert send(market) == []
    assert statements.count == 0


def test_a_late_event_is_charged_at_the_price_of_its_time(market: Market) -> None:
    add_meter(market)
    meters.set_price(market.app.uow(), utc_now(), OPERATOR, METER, 5 * PRICE)
    hour_ago = (utc_now() - timedelta(hours=1)).isoformat()
    late, current = send(market, event(1, time=hour_ago), event(2))
    assert late.usage
    assert current.usage
    assert (late.usage.price_version, late.usage.amount_nano) == (1, 2 * PRICE)
    assert (current.usage.price_version, current.usage.amount_nano) == (2, 10 * PRICE)


def test_a_thousand_events_of_many_accounts_take_as_many_statements_as_two(market: Market) -> None:
    add_meter(market, pays=market.provider)
    add_meter(market, name="other")
    names = ["buyer", "poor", *(f"a{number}" for number in range(8))]
    for name in names[1:]:
        market.account(name, 0 if name == "poor" else 10**12)

    def events(count: int, source: str) -> list[dict[str, object]]:
        return [
            event(number, subject=names[number % len(names)], type=[METER, "other"][number % 2], source=source)
            for number in range(count)
        ]

    seen = []
    for count in (2, 10, EVENTS_MAX):
        with Statements(market.app.engine) as statements:
            outcomes = send(market, *events(count, f"/of-{count}"))
        assert {outcome.receipt for outcome in outcomes} == {Receipt.ACCEPTED}
        seen.append(statements.count)
    assert len(set(seen)) == 1, seen
    assert seen[0] <= 24


def test_what_was_reported_is_in_the_audit_log(market: Market) -> None:
    add_meter(market)
    send(market, event(1), event(2, subject="provider"))
    entry = log.list_entries(market.app.uow(), action="usage.report")[0]
    assert entry.details == {"events": 2, "amount_nano": 4 * PRICE, "charged": 1, "unpaid": 1}
    send(market, event(1))
    assert len(log.list_entries(market.app.uow(), action="usage.report")) == 1


def test_usage_is_listed_page_by_page_and_shown_to_its_owner_only(market: Market) -> None:
    add_meter(market)
    send(market, *(event(number) for number in range(5)), event(9, subject="provider"))
    uow, buyer = market.app.uow, market.buyer.account_id
    first = metering.list_usage(uow(), buyer, limit=3)
    rest = metering.list_usage(uow(), buyer, limit=3, before=first[-1].id)
    assert [usage.event_id for usage in first + rest] == [f"event-{number}" for number in (4, 3, 2, 1, 0)]
    assert len(metering.list_usage(uow(), None)) == 6
    assert [u.event_id for u in metering.list_usage(uow(), None, state="unpaid")] == ["event-9"]
    assert metering.list_usage(uow(), None, meter="other") == []
    assert metering.show_usage(uow(), first[0].id, Principal(None, buyer, Role.USER)) == first[0]
    for wrong in ({"state": "odd"}, {"limit": 0}):
        with pytest.raises(Invalid):
            metering.list_usage(uow(), None, **wrong)


def rows(market: Market, statement: str) -> list[tuple[object, ...]]:
    """What a query finds."""
    with market.app.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]
