"""Budgets that are set, moved and ended while money is being set aside; and what the audit says of it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.budgets import Budget
from backend.domain.errors import BudgetExceeded, NotFound
from backend.domain.ids import AccountId
from backend.domain.money import NANO_PER_CREDIT
from backend.services import budgets, deposits, log, orders
from backend.services.budgets import BudgetWish
from tests.integration.services.spending import spend
from tests.integration.services.usage import METER, add_meter, event, send, told
from tests.market import ASK, Market

OPERATOR = Principal(None, AccountId(new_id()), Role.ADMIN)
DEAR = 100 * ASK


pytestmark = pytest.mark.usefixtures("books_in_order")


def limit(
    market: Market, whose: AccountId | None, nano: int, period: str = "month", now: datetime | None = None, **wish: str
) -> Budget:
    """A budget that the operator sets."""
    asked = BudgetWish(period, nano, **wish)  # type: ignore[arg-type]  # a test's own words
    return budgets.set_budget(market.app.uow(), now or utc_now(), OPERATOR, whose, asked)


def own(market: Market, now: datetime | None = None) -> list[Budget]:
    """The buyer's own budgets, without those that everybody has."""
    found = budgets.list_budgets(market.app.uow(), now or utc_now(), market.buyer.account_id)
    return [budget for budget in found if budget.account_id]


def test_a_limit_below_what_is_used_already_refuses_everything_further(market: Market) -> None:
    spend(market, utc_now(), 10)
    limit(market, market.buyer.account_id, 4)
    [budget] = own(market)
    assert (budget.used_nano, budget.left_nano) == (10, 0)
    with pytest.raises(BudgetExceeded) as refused:
        spend(market, utc_now(), 1)
    assert refused.value.left_nano == 0


def test_days_that_begin_in_another_time_zone_are_counted_anew(market: Market) -> None:
    """In Tokyo the 3rd begins at 15:00 UTC of the 2nd."""
    for day, hour, nano in ((1, 12, 1), (2, 14, 10), (2, 16, 100)):
        limit(market, market.buyer.account_id, 1_000, "day", datetime(2031, 10, 1, 1, tzinfo=UTC))
        spend(market, datetime(2031, 10, day, hour, tzinfo=UTC), nano)
    now = datetime(2031, 10, 2, 17, tzinfo=UTC)
    assert [budget.used_nano for budget in own(market, now)] == [110]
    [before] = own(market, now)
    limit(market, market.buyer.account_id, 1_000, "day", now, timezone="Asia/Tokyo")
    [budget] = own(market, now)
    assert (budget.used_nano, budget.timezone) == (100, "Asia/Tokyo")
    assert budget.until == datetime(2031, 10, 3, 15, tzinfo=UTC)
    entries = log.list_entries(market.app.uow(), subject=f"budget {before.id}")
    assert (entries[0].action, budget.id != before.id) == ("budget.end", True)
    spend(market, now, 900)
    with pytest.raises(BudgetExceeded):
        spend(market, now, 1)


def test_a_budget_that_two_end_at_once_ends_once(market: Market) -> None:
    budget = limit(market, market.buyer.account_id, 5)

    def end(_: int) -> str:
        try:
            budgets.end_budget(market.app.uow(), utc_now(), OPERATOR, budget.id)
        except NotFound as refused:
            return refused.code
        return "ended"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(end, range(4))) == ["ended", *["unknown_budget"] * 3]
    entries = log.list_entries(market.app.uow(), subject=f"budget {budget.id}")
    assert [entry.action for entry in entries] == ["budget.end", "budget.set"]


@pytest.mark.parametrize("moved", [False, True])
def test_what_was_set_aside_after_a_budget_ended_is_given_back_all_the_same(market: Market, moved: bool) -> None:
    market.node("a", slots=64, ask=DEAR)
    market.executor()
    ended = limit(market, market.buyer.account_id, NANO_PER_CREDIT, "day")
    spend(market, utc_now(), 10)
    if moved:
        limit(market, market.buyer.account_id, NANO_PER_CREDIT, "day", timezone="Asia/Tokyo")
    else:
        budgets.end_budget(market.app.uow(), utc_now(), OPERATOR, ended.id)
    request = market.request(limit_nano_per_slot_s=DEAR)
    [order] = orders.place_workload(market.app.uow(), utc_now(), market.buyer, request).orders
    assert order.worst_case_nano > 10
    orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer)
    assert market.wallet().reserved_nano == 0


def test_a_budget_for_everybody_counts_what_each_account_has_set_aside_already(market: Market) -> None:
    other = market.account("other", NANO_PER_CREDIT)
    spend(market, utc_now(), 30)
    spend(market, utc_now(), 70, buyer=other)
    everybody = limit(market, None, 100, "day")
    for account, used in ((market.buyer.account_id, 30), (other.account_id, 70)):
        found = budgets.list_budgets(market.app.uow(), utc_now(), account)
        assert [b.used_nano for b in found if b.id == everybody.id] == [used]
    spend(market, utc_now(), 70)
    with pytest.raises(BudgetExceeded):
        spend(market, utc_now(), 31, buyer=other)


def test_a_budget_that_is_set_by_many_while_many_spend_is_one_and_counts_right(market: Market) -> None:
    market.node("a", slots=64, ask=DEAR)
    market.executor()
    worst = orders.quote(market.app.uow(), utc_now(), market.request(limit_nano_per_slot_s=DEAR)).worst_case_nano

    def act(number: int) -> None:
        if number % 4 == 0:
            limit(market, market.buyer.account_id, 12 * worst)
            return
        request = market.request(limit_nano_per_slot_s=DEAR)
        orders.place_orders(market.app.uow(), utc_now(), market.buyer, [request])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(act, range(48)))
    [budget] = own(market)
    placed = orders.list_orders(market.app.uow(), market.buyer.account_id)
    assert budget.used_nano == len(placed) * worst == market.wallet().reserved_nano
    assert len(placed) == 12


def test_batches_that_come_at_once_cannot_jointly_exceed_a_budget_and_are_filled_up_to_it(market: Market) -> None:
    market.node("a", slots=64, ask=DEAR)
    market.executor()
    request = market.request(limit_nano_per_slot_s=DEAR)
    worst = orders.quote(market.app.uow(), utc_now(), request).worst_case_nano
    lab, _, ana, ben = market.organisation("lab", "ana", "ben")
    deposits.deposit(market.app.uow(), utc_now(), lab, NANO_PER_CREDIT, "the lab's")
    limit(market, lab, 25 * worst)

    def place(number: int) -> list[str]:
        placed = orders.place_orders(market.app.uow(), utc_now(), (ana, ben)[number % 2], [request] * 3)
        return [outcome.code for outcome in placed.results if isinstance(outcome, orders.Refusal)]

    with ThreadPoolExecutor(16) as pool:
        refused = [code for codes in pool.map(place, range(16)) for code in codes]
    assert refused == ["budget_exceeded"] * (48 - 25)
    assert len(orders.list_orders(market.app.uow(), lab)) == 25


def test_trap_usage_that_others_report_asks_the_budget_as_well(market: Market) -> None:
    add_meter(market)
    limit(market, market.buyer.account_id, 0)
    before = market.wallet().wallet_nano
    [outcome] = send(market, event())
    assert (told([outcome]), outcome.unpaid_code) == (["unpaid"], "budget_exceeded")
    assert (market.wallet().wallet_nano, market.wallet().reserved_nano) == (before, 0)
    assert METER == "storage.gb_hours"


@pytest.mark.parametrize(
    ("account", "member", "code", "field"),
    [
        ("nobody", None, "unknown_account", "account"),
        ("lab", "stranger", "unknown_member", "member"),
        ("buyer", "ana", "unknown_member", "member"),
        (None, "ana", "unknown_member", "member"),
    ],
)
def test_a_budget_of_somebody_who_is_not_there_is_refused_and_not_written(
    market: Market, account: str | None, member: str | None, code: str, field: str
) -> None:
    lab, _, ana, _ = market.organisation("lab", "ana", "ben")
    ids = {
        "nobody": AccountId(new_id()),
        "lab": lab,
        "ana": ana.actor,
        "buyer": market.buyer.account_id,
        "stranger": market.account("stranger").account_id,
    }
    wish = BudgetWish("day", 5, member=member and ids[member])  # type: ignore[arg-type]  # None or an id
    with pytest.raises(NotFound) as refused:
        budgets.set_budget(market.app.uow(), utc_now(), OPERATOR, account and ids[account], wish)  # type: ignore[arg-type]  # likewise
    assert (refused.value.code, refused.value.field) == (code, field)
    with market.app.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM budgets WHERE period = 'day'").scalar_one() == 0


def test_the_audit_log_keeps_the_limit_that_was_there_before(market: Market) -> None:
    first = limit(market, market.buyer.account_id, 5)
    limit(market, market.buyer.account_id, 8)
    budgets.end_budget(market.app.uow(), utc_now(), OPERATOR, first.id)
    entries = log.list_entries(market.app.uow(), subject=f"budget {first.id}")
    assert [entry.action for entry in entries] == ["budget.end", "budget.set", "budget.set"]
    assert [entry.details.get("before_nano") for entry in entries[1:]] == [5, None]
    assert [entry.details["limit_nano"] for entry in entries] == [8, 8, 5]
