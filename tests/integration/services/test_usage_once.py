"""An event is billed once per source and id, however often and by however many it is sent."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backend.bootstrap import utc_now
from backend.services import metering
from backend.services.metering import Receipt
from tests.integration.services.usage import FUNDS, METER, PRICE, add_meter, event, send, told
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")


def test_trap_a_fresh_event_id_on_each_retry_billed_four_times(market: Market) -> None:
    """A retry has the id that it had, gets the first answer and is billed once; an id is never made up for a sender."""
    add_meter(market)
    [first] = send(market, event(time=utc_now().isoformat()))
    again = [send(market, event(time=first.usage.occurred_at.isoformat()))[0] for _ in range(3) if first.usage]
    assert [(outcome.receipt, outcome.usage) for outcome in again] == [(Receipt.DUPLICATE, first.usage)] * 3
    assert told(send(market, *[event(id=None)] * 4)) == ["missing_field"] * 4
    assert market.wallet().wallet_nano == FUNDS - 2 * PRICE


def test_what_a_sender_adds_for_tracing_does_not_make_an_event_another(market: Market) -> None:
    add_meter(market)
    outcomes = send(market, event(traceparent="00-1"), event(traceparent="00-2", datacontenttype="application/json"))
    assert [outcome.receipt for outcome in outcomes] == [Receipt.ACCEPTED, Receipt.DUPLICATE]
    assert outcomes[0].usage == outcomes[1].usage


@pytest.mark.parametrize(
    "change", [{"quantity": "3"}, {"subject": "provider"}, {"type": "other"}, {"time": "2026-11-01T00:00:00Z"}]
)
def test_an_id_that_comes_with_other_content_is_refused(market: Market, change: dict[str, Any]) -> None:
    add_meter(market)
    add_meter(market, name="other")
    now = utc_now().replace(year=2026, month=11, day=2)
    send(market, event(), now=now)
    [outcome] = send(market, event(**change), now=now)
    assert told([outcome]) == ["event_reused"]
    [same_batch] = send(market, event(2), event(2, "4"), now=now)[1:]
    assert told([same_batch]) == ["event_reused"]
    assert market.wallet().wallet_nano == FUNDS - 4 * PRICE


def test_the_same_id_from_another_source_is_another_event(market: Market) -> None:
    add_meter(market)
    assert told(send(market, event(), event(source="/storage/south"))) == ["charged", "charged"]
    assert market.wallet().wallet_nano == FUNDS - 4 * PRICE


def test_twenty_senders_of_one_event_at_once_charge_it_once(market: Market) -> None:
    add_meter(market, pays=market.provider)
    with ThreadPoolExecutor(20) as pool:
        outcomes = [outcome for [outcome] in pool.map(lambda _: send(market, event()), range(20))]
    assert sorted(outcome.receipt for outcome in outcomes) == ["accepted"] + ["duplicate"] * 19
    assert len({outcome.usage for outcome in outcomes}) == 1
    assert market.wallet().wallet_nano == FUNDS - 2 * PRICE


def test_of_senders_who_use_one_id_for_several_accounts_at_once_one_is_heard(market: Market) -> None:
    add_meter(market)
    names = [f"a{number}" for number in range(8)]
    for name in names:
        market.account(name, 10**9)
    with ThreadPoolExecutor(8) as pool:
        outcomes = [outcome for [outcome] in pool.map(lambda name: send(market, event(subject=name)), names)]
    assert sorted(told(outcomes)) == ["charged"] + ["event_reused"] * 7


def test_twenty_senders_of_batches_that_overlap_charge_each_event_once(market: Market) -> None:
    add_meter(market, pays=market.provider)
    add_meter(market, name="gratis", price=0)

    def batch(sender: int) -> list[metering.Outcome]:
        kinds = [METER, "gratis"]
        events = [event((sender * step) % 30, type=kinds[(sender * step) % 2]) for step in range(1, 20)]
        return send(market, *events)

    with ThreadPoolExecutor(20) as pool:
        outcomes = [outcome for batch_of in pool.map(batch, range(20)) for outcome in batch_of]
    assert {outcome.receipt for outcome in outcomes} == {Receipt.ACCEPTED, Receipt.DUPLICATE}
    accepted = [outcome.usage for outcome in outcomes if outcome.receipt is Receipt.ACCEPTED and outcome.usage]
    assert len(accepted) == len(metering.list_usage(market.app.uow(), None)) == 30
    assert market.wallet().wallet_nano == FUNDS - 15 * 2 * PRICE
