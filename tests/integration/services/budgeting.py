"""Buyers under budgets: what one order sets aside, orders placed one by one or by many at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from backend.bootstrap import utc_now
from backend.domain.access import Principal
from backend.domain.budgets import Budget
from backend.domain.errors import BudgetExceeded
from backend.domain.ids import AccountId
from backend.services import budgets, orders
from backend.services.budgets import BudgetWish
from backend.storage.order_rows import Order
from tests.market import ASK, Market

DEAR = 100 * ASK


def supplied(market: Market) -> int:
    """Bring a node and an executor; returns what one order holds at its limit, in nano-credits."""
    market.node("a", slots=64, ask=DEAR)
    market.executor()
    return orders.quote(market.app.uow(), utc_now(), market.request(limit_nano_per_slot_s=DEAR)).worst_case_nano


def limited(
    market: Market, whose: Principal, nano: int, period: str = "month", now: datetime | None = None, **wish: object
) -> Budget:
    """A budget that somebody set on their own account."""
    asked = BudgetWish(period, nano, **wish)  # type: ignore[arg-type]  # a test's own words
    return budgets.set_budget(market.app.uow(), now or utc_now(), whose, whose.account_id, asked)


def place(market: Market, whose: Principal, now: datetime | None = None, **changes: object) -> Order:
    """One order at the limit."""
    request = market.request(**({"limit_nano_per_slot_s": DEAR} | changes))
    return orders.place_workload(market.app.uow(), now or utc_now(), whose, request).orders[0]


def placed_by_all(market: Market, spenders: list[Principal], count: int = 32) -> int:
    """How many of so many orders, placed by sixteen threads, were granted."""

    def granted(number: int) -> bool:
        try:
            place(market, spenders[number % len(spenders)])
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(granted, range(count)))


def used(market: Market, account: AccountId, now: datetime | None = None) -> dict[str, int]:
    """What is used of an account's own budgets, by period."""
    found = budgets.list_budgets(market.app.uow(), now or utc_now(), account)
    return {budget.period: budget.used_nano for budget in found if budget.account_id}
