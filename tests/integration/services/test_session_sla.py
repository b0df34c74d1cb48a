"""SLAs of sessions: requests are counted as gateways tell of them, once each, whoever tells them and how often."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.errors import InsufficientFunds, Invalid
from backend.domain.ids import OrderId
from backend.domain.leases import WINDOW_S
from backend.domain.money import fee_nano
from backend.domain.orders import CloseReason
from backend.services import orders, sessions, sla, sweeper
from tests.integration.services.promising import (
    BAD_MS,
    EARNED,
    FIRST_STEP,
    PAID,
    after,
    close,
    end,
    opened,
    provider_has,
    renew,
    seen,
    settle,
    windows,
)
from tests.market import ASK, Market, Statements


@pytest.fixture(autouse=True)
def _(market: Market, books_in_order: None) -> None:
    """A node, and books that are in order after every test."""
    market.node("a", slots=32)


def test_a_handover_that_comes_twice_or_late_counts_once(market: Market) -> None:
    session = opened(market)
    first = renew(market, session, 16, seen(40, failures=1))
    assert renew(market, session, 16, seen(40, failures=1)) == first
    assert renew(market, session, 17, seen(50, failures=1)) == first  # not bought again, and heard
    renew(market, session, 18, seen(40, failures=1))
    for second in (40, 41):
        end(market, session, second, seen(60, failures=2))
    end(market, session, 42, seen(30))
    end(market, session, 43)
    [window] = windows(market)
    assert window.measured == seen(60, failures=2)


def test_of_handovers_at_once_each_request_is_counted_once(market: Market) -> None:
    session = opened(market)
    totals = [seen(count, failures=count // 10) for count in range(10, 90, 10)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda total: renew(market, session, 16, total), totals))
    end(market, session, 20, totals[-1])
    [window] = windows(market)
    assert window.measured == totals[-1]


def test_a_session_goes_on_in_the_next_sla_window_when_one_closes(market: Market) -> None:
    session = opened(market)
    renew(market, session, 16, seen(10, BAD_MS))
    settle(market, session, 31)
    close(market)
    end(market, session, 2 * WINDOW_S, seen(10, BAD_MS).merged(seen(30)))
    settle(market, session, 2 * WINDOW_S)
    close(market)
    second, first = windows(market)
    assert (first.measured, first.credit_ppm, first.charged_nano) == (seen(10, BAD_MS), FIRST_STEP, EARNED)
    assert (second.measured, second.credit_ppm, second.charged_nano) == (seen(30), 0, EARNED)
    assert provider_has(market) == (2 * EARNED - first.credit_nano, 0)


def test_a_session_that_is_lost_with_its_node_is_one_failure_and_is_charged_until_then(market: Market) -> None:
    session = opened(market)
    plain = opened(market, sla=False)
    at = after(session, 4)
    assert sweeper.sweep(market.app.uow(), at).ended_sessions == 2
    assert sweeper.sweep(market.app.uow(), at).ended_sessions == 0
    settle(market, session, 5)
    [window] = windows(market)
    assert window.measured == seen(0, failures=1)
    shown = orders.show_order(market.app.uow(), session.order_id, market.buyer)
    assert shown.charged_nano == 4 * ASK
    assert window.withheld_nano == 4 * ASK - fee_nano(4 * ASK, 40_000)
    assert orders.show_order(market.app.uow(), plain.order_id, market.buyer).sla is False
    close(market)
    [window] = windows(market)
    assert (window.credit_ppm, window.credit_nano) == (1_000_000, window.charged_nano)


@pytest.mark.parametrize(("failed", "counted"), [(0, 1), (1, 1), (3, 3)])
def test_a_node_that_both_the_sweeper_and_the_gateway_missed_is_not_missed_twice(
    market: Market, failed: int, counted: int
) -> None:
    session = opened(market)
    renew(market, session, 1, seen(5))
    sweeper.sweep(market.app.uow(), after(session, 4))
    for _ in range(2):
        end(market, session, 5, seen(7, failures=failed), CloseReason.NODE_LOST)
    [window] = windows(market)
    assert window.measured == seen(7, failures=counted)


def test_a_session_that_its_gateway_ended_as_lost_is_not_lost_again(market: Market) -> None:
    session = opened(market)
    end(market, session, 2, seen(7, failures=1), CloseReason.NODE_LOST)
    sweeper.sweep(market.app.uow(), after(session, 4))
    [window] = windows(market)
    assert window.measured == seen(7, failures=1)


def test_what_was_measured_until_the_money_was_gone_is_counted(market: Market) -> None:
    market.executor()
    poor = market.account("poor", PAID)
    order_id = sessions.open_session(market.app.uow(), utc_now(), poor, "doubling", "medium", ASK, sla=True)
    market.clear()
    session = sessions.progress(market.app.uow(), utc_now(), order_id).lease
    assert session is not None
    for _ in range(2):
        with pytest.raises(InsufficientFunds):
            renew(market, session, 16, seen(9))
    [window] = windows(market)
    assert (window.measured, window.account_id) == (seen(9), poor.account_id)


def test_sessions_without_an_sla_are_not_measured_and_nothing_of_them_waits(market: Market) -> None:
    session = opened(market, sla=False)
    renew(market, session, 16, seen(10, BAD_MS))
    end(market, session, WINDOW_S, seen(20, BAD_MS))
    settle(market, session, WINDOW_S)
    assert windows(market) == []
    assert provider_has(market) == (EARNED, 0)


def test_sessions_and_batches_share_a_window(market: Market) -> None:
    session = opened(market)
    executor = market.executor()
    [order] = market.place(sla_required=True)
    market.run(executor)
    assert market.show(order).closed_at
    end(market, session, 5, seen(3))
    settle(market, session, 6)
    sla.observe(market.app.uow(), utc_now())
    [window] = windows(market)
    assert window.measured.requests == 4
    assert window.withheld_nano == provider_has(market)[1]


def test_an_sla_costs_a_renewal_four_statements_and_nothing_without_one(market: Market) -> None:
    counts = {}
    for promised in (False, True):
        session = opened(market, sla=promised)
        with Statements(market.app.engine) as statements:
            renew(market, session, 16, seen(3))
        counts[promised] = statements.count
    assert counts[True] - counts[False] == 4  # open the SLA's window if there is none, read it, write it, and the lease


def test_tier_small_has_no_session_with_an_sla(market: Market) -> None:
    with pytest.raises(Invalid) as refused:
        sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "small", sla=True)
    assert (refused.value.code, refused.value.field) == ("sla_not_offered", "Swarmex-SLA")
    with market.app.uow() as uow:
        assert uow.orders.find(OrderId(new_id())) is None
        assert uow.orders.newest(None, None, 10, None) == []
