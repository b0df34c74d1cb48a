"""Usage that nobody can pay yet waits, and is charged once when there is money and budget."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.bootstrap import utc_now
from backend.domain.metering import UsageState
from backend.services import deposits, metering
from backend.services.metering import Receipt
from backend.services.usage_charges import COLLECT_MAX, collect_unpaid
from tests.integration.services.clock import in_seconds
from tests.integration.services.usage import PRICE, add_meter, earned, event, send, told
from tests.market import Market, Statements

pytestmark = pytest.mark.usefixtures("books_in_order")


def test_usage_without_money_waits_and_is_charged_once_when_money_comes(market: Market) -> None:
    add_meter(market, pays=market.provider)
    poor = market.account("poor", 2 * PRICE)
    outcomes = send(market, event(1, subject="poor"), event(2, subject="poor"), event(3))
    assert told(outcomes) == ["charged", "unpaid", "charged"]
    assert [outcome.unpaid_code for outcome in outcomes] == [None, "insufficient_funds", None]
    assert collect_unpaid(market.app.uow(), utc_now()).charged == 0
    deposits.deposit(market.app.uow(), utc_now(), poor.account_id, 5 * PRICE, "more")
    with ThreadPoolExecutor(4) as pool:
        collected = list(pool.map(lambda _: collect_unpaid(market.app.uow(), utc_now()).charged, range(4)))
    assert sum(collected) == 1
    assert collect_unpaid(market.app.uow(), utc_now()).charged == 0
    assert earned(market, market.provider) == 6 * PRICE
    assert [u.state for u in metering.list_usage(market.app.uow(), poor.account_id)] == [UsageState.CHARGED] * 2
    [again] = send(market, event(2, subject="poor"))
    assert (again.receipt, told([again])) == (Receipt.DUPLICATE, ["charged"])


def test_usage_above_a_budget_waits_for_the_next_period(market: Market) -> None:
    add_meter(market)
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO budgets (id, account_id, period, limit_nano, mode, timezone, created_at)"
            f" VALUES (gen_random_uuid(), '{market.buyer.account_id}', 'day', {3 * PRICE}, 'hard', 'UTC', now())"
        )
    outcomes = send(market, event(1), event(2))
    assert (told(outcomes), outcomes[1].unpaid_code) == (["charged", "unpaid"], "budget_exceeded")
    assert collect_unpaid(market.app.uow(), utc_now()).charged == 0
    assert collect_unpaid(market.app.uow(), in_seconds(86_400)).charged == 1


@pytest.mark.slow
def test_usage_that_cannot_be_paid_does_not_keep_what_can_be_from_its_turn(market: Market) -> None:
    add_meter(market)
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO budgets (id, account_id, period, limit_nano, mode, timezone, created_at)"
            f" VALUES (gen_random_uuid(), '{market.buyer.account_id}', 'day', 0, 'hard', 'UTC', now())"
        )
    poor = market.account("poor")
    send(market, *(event(number) for number in range(COLLECT_MAX)))
    send(market, event(COLLECT_MAX, subject="poor"))
    deposits.deposit(market.app.uow(), utc_now(), poor.account_id, 2 * PRICE, "more")
    first = collect_unpaid(market.app.uow(), utc_now())
    assert first.charged == 0
    assert first.after is not None
    second = collect_unpaid(market.app.uow(), utc_now(), first.after)
    assert (second.charged, second.after) == (1, None)


def test_unpaid_usage_of_many_is_charged_in_as_many_statements_as_that_of_two(market: Market) -> None:
    add_meter(market, pays=market.provider)
    poor = {f"poor-{number}": market.account(f"poor-{number}").account_id for number in range(6)}
    seen = []
    for count in (2, 200):
        named = [list(poor)[number % 6] for number in range(count)]
        send(market, *(event(number, subject=name, source=f"/of-{count}") for number, name in enumerate(named)))
        for name in set(named):
            deposits.deposit(
                market.app.uow(), utc_now(), poor[name], named.count(name) * 2 * PRICE, f"{name} of {count}"
            )
        with Statements(market.app.engine) as statements:
            assert collect_unpaid(market.app.uow(), utc_now()).charged == count
        seen.append(statements.count)
    assert seen[0] == seen[1] <= 30, seen
