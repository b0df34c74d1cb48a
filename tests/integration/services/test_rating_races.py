"""Usage that is rated by several at once, or while its price changes, ends at the price that is valid, once."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

from backend.bootstrap import utc_now
from backend.domain.errors import Conflict
from backend.domain.ledger import FEES_ID
from backend.domain.metering import PRICES_FROM, MeterPrice, Usage, UsageState
from backend.services import corrections
from tests.integration.services.usage import FUNDS, METER, OPERATOR, PRICE, add_meter, again, event, price, send, usage
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")


def test_many_who_rate_anew_at_once_correct_each_event_once(market: Market) -> None:
    add_meter(market, pays=market.provider)
    send(market, *(event(number) for number in range(40)))
    add_price(market, 2, 3 * PRICE)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: again(market).corrected, range(8)))
    assert sum(done) == 40
    assert market.wallet().wallet_nano == FUNDS - 40 * 6 * PRICE


def test_a_price_that_is_set_while_usage_is_rated_by_the_old_one_waits_and_corrects_it(market: Market) -> None:
    add_meter(market)
    with ThreadPoolExecutor(2) as pool, market.app.engine.connect() as gate:
        gate.exec_driver_sql("LOCK TABLE usage_events IN SHARE ROW EXCLUSIVE MODE")  # nobody gets past it with usage
        sending = pool.submit(send, market, event())
        until_waiting(gate, 1)
        setting = pool.submit(price, market, 3 * PRICE)
        until_waiting(gate, 2)
        gate.rollback()
        assert sending.result()
        assert setting.result().corrected == 1
    assert market.wallet().wallet_nano == FUNDS - 6 * PRICE


def test_a_price_that_is_set_while_usage_waits_to_be_rated_by_an_older_one_counts(market: Market) -> None:
    add_meter(market)
    send(market, event())
    add_price(market, 2, 3 * PRICE)
    with ThreadPoolExecutor(1) as pool, market.app.engine.connect() as gate:
        gate.exec_driver_sql(f"SELECT 1 FROM ledger_accounts WHERE id = '{FEES_ID}' FOR UPDATE")
        rating = pool.submit(again, market)
        until_waiting(gate, 1)
        add_price(market, 3, 5 * PRICE)
        gate.rollback()
        assert rating.result().corrected == 1
    assert [u.price_version for u in usage(market)] == [3]
    assert market.wallet().wallet_nano == FUNDS - 10 * PRICE


def test_a_charge_that_is_reversed_and_rated_anew_at_once_is_given_back_once(market: Market) -> None:
    """Whoever is first: nothing is reversed twice, and what is void stays given back."""
    add_meter(market, pays=market.provider)
    send(market, *(event(number) for number in range(8)))
    before = usage(market)
    add_price(market, 2, 3 * PRICE)

    def reverse(one: Usage) -> bool:
        assert one.transfer_id
        try:
            corrections.reverse(market.app.uow(), utc_now(), OPERATOR, one.transfer_id, "a mistake")
        except Conflict:  # it was replaced by then
            return False
        return True

    with ThreadPoolExecutor(9) as pool:
        rated = pool.submit(again, market)
        reversed_ones = list(pool.map(reverse, before))
    assert rated.result().left == ()
    again(market)
    after = usage(market)
    assert [u.state is UsageState.VOID for u in after] == reversed_ones
    assert market.wallet().wallet_nano == FUNDS - reversed_ones.count(False) * 6 * PRICE


def add_price(market: Market, version: int, nano: int) -> None:
    """Set a price that has always been, and let others rate by it."""
    with market.app.uow() as uow:
        uow.metering.add_price(MeterPrice(METER, version, nano, PRICES_FROM, utc_now()))
        uow.commit()


def until_waiting(connection: Connection, count: int, within_s: float = 10) -> None:
    """Until so many others wait for a lock in this database."""
    deadline = time.monotonic() + within_s
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND pid <> pg_backend_pid()"
    )
    while connection.exec_driver_sql(asked).scalar_one() < count:
        assert time.monotonic() < deadline, f"less than {count} wait"
        connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        time.sleep(0.01)
