"""Budgets on the real path: asked before anything is spent, on every way to spend, whoever comes at the same time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.budgets import Budget
from backend.domain.errors import BudgetExceeded, Forbidden, Invalid, NotFound
from backend.domain.leases import WINDOW_S, window_nano
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.tier_changes import TierChanges
from backend.services import audit, budgets, deposits, orders, sessions, tiers
from backend.services.budgets import BudgetWish
from tests.integration.services.budgeting import DEAR, limited, place, placed_by_all, supplied, used
from tests.market import ASK, Market


@pytest.fixture
def worst(market: Market) -> int:
    """What one order holds at its limit."""
    return supplied(market)


def test_sixteen_threads_cannot_jointly_exceed_a_hard_budget(market: Market, worst: int) -> None:
    limited(market, market.buyer, 5 * worst + 1)
    assert placed_by_all(market, [market.buyer]) == 5
    assert used(market, market.buyer.account_id) == {"month": 5 * worst}
    assert market.wallet().reserved_nano == 5 * worst
    assert audit.audit_ledger(market.app.uow()).ok


def test_members_cannot_jointly_exceed_the_budget_of_their_organisation_nor_one_of_them_an_own(
    market: Market, worst: int
) -> None:
    lab, owner, ana, ben = market.organisation("lab", "ana", "ben")
    deposits.deposit(market.app.uow(), utc_now(), lab, NANO_PER_CREDIT, "the lab's")
    shared = BudgetWish("day", 8 * worst)
    budgets.set_budget(market.app.uow(), utc_now(), owner, lab, shared)
    budgets.set_budget(market.app.uow(), utc_now(), owner, lab, BudgetWish("month", 2 * worst, member=ben.member_id))
    assert placed_by_all(market, [ana, ben]) == 8
    spent = budgets.list_budgets(market.app.uow(), utc_now(), lab)
    by_member = {b.member_id: b.used_nano for b in spent if b.account_id}
    assert by_member[None] == 8 * worst
    assert by_member[ben.member_id] <= 2 * worst
    placed = orders.list_orders(market.app.uow(), lab)
    assert sum(order.worst_case_nano for order in placed if order.member_id == ben.member_id) <= 2 * worst
    assert audit.audit_ledger(market.app.uow()).ok


def test_trap_a_budget_is_asked_before_the_spend_and_what_it_refuses_holds_nothing(market: Market, worst: int) -> None:
    limited(market, market.buyer, worst - 1)
    with pytest.raises(BudgetExceeded) as refused:
        place(market, market.buyer)
    assert (refused.value.code, refused.value.left_nano) == ("budget_exceeded", worst - 1)
    assert market.wallet().reserved_nano == 0
    assert orders.list_orders(market.app.uow(), market.buyer.account_id) == []


def by_batch(market: Market) -> None:
    [outcome] = orders.place_orders(market.app.uow(), utc_now(), market.buyer, [market.request()]).results
    assert isinstance(outcome, orders.Refusal)
    assert outcome.code == "budget_exceeded"
    raise BudgetExceeded(market.buyer.account_id, "month", 1, 0, None)


def by_session(market: Market) -> None:
    sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")


def by_job(market: Market) -> None:
    place(market, market.buyer, workload="batch")


@pytest.mark.parametrize("spend", [by_batch, by_session, by_job, lambda market: place(market, market.buyer)])
def test_trap_every_way_to_spend_asks_the_budget(market: Market, worst: int, spend: Callable[[Market], object]) -> None:
    limited(market, market.buyer, 0)
    with pytest.raises(BudgetExceeded):
        spend(market)
    assert market.wallet().reserved_nano == 0


def test_trap_the_next_window_of_a_session_asks_the_budget_too(market: Market) -> None:
    market.node("a")
    market.executor()
    order_id = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium", ASK)
    market.clear()
    session = sessions.progress(market.app.uow(), utc_now(), order_id).lease
    assert session is not None
    limited(market, market.buyer, window_nano(ASK, 1))
    with pytest.raises(BudgetExceeded):
        sessions.renew(market.app.uow(), session.granted_at + timedelta(seconds=WINDOW_S / 2), session.lease_id)
    limited(market, market.buyer, 2 * window_nano(ASK, 1))
    sessions.renew(market.app.uow(), session.granted_at + timedelta(seconds=WINDOW_S / 2), session.lease_id)


def test_trap_a_day_is_whole_again_at_midnight_of_its_time_zone_also_when_the_clocks_change(
    market: Market, worst: int
) -> None:
    """Berlin's 25 October 2026 has 25 hours: from 22:00 UTC on the 24th until 23:00 UTC on the 25th."""
    before_midnight = datetime(2026, 10, 24, 21, 59, 59, tzinfo=UTC)
    limited(market, market.buyer, worst, "day", before_midnight, timezone="Europe/Berlin")
    place(market, market.buyer, before_midnight)
    for moment, whole in (
        (before_midnight, False),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), True),
        (datetime(2026, 10, 25, 22, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 10, 25, 23, 0, tzinfo=UTC), True),
    ):
        [day] = [b for b in budgets.list_budgets(market.app.uow(), moment, market.buyer.account_id) if b.account_id]
        assert day.until is not None
        assert (day.left_nano == worst) == whole, moment
        if whole:
            place(market, market.buyer, moment)
        else:
            with pytest.raises(BudgetExceeded) as refused:
                place(market, market.buyer, moment)
            assert day.until.isoformat() in str(refused.value.accepted)


def test_what_was_set_aside_before_a_budget_was_set_counts_as_well(market: Market, worst: int) -> None:
    place(market, market.buyer)
    place(market, market.buyer)
    limited(market, market.buyer, 3 * worst)
    assert used(market, market.buyer.account_id) == {"month": 2 * worst}
    assert placed_by_all(market, [market.buyer], 4) == 1


def test_what_an_order_does_not_use_is_given_back_to_its_budgets(market: Market, worst: int) -> None:
    limited(market, market.buyer, worst)
    limited(market, market.buyer, worst, "day")
    order = place(market, market.buyer)
    orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer)
    assert used(market, market.buyer.account_id) == {"month": 0, "day": 0}
    executor = market.executor()
    ran = place(market, market.buyer)
    market.clear()
    executor.commit(executor.claim(market.dispatched()), busy_us=5)
    market.settle()
    charged = market.show(ran).charged_nano
    assert 0 < charged < worst
    assert used(market, market.buyer.account_id) == {"month": charged, "day": charged}
    assert audit.audit_ledger(market.app.uow()).ok


def test_a_budget_for_a_request_does_not_add_up_and_one_for_a_job_leaves_requests_alone(
    market: Market, worst: int
) -> None:
    limited(market, market.buyer, worst, "request")
    limited(market, market.buyer, worst - 1, "job")
    assert placed_by_all(market, [market.buyer], 4) == 4
    with pytest.raises(BudgetExceeded):
        place(market, market.buyer, limit_nano_per_slot_s=2 * DEAR)
    with pytest.raises(BudgetExceeded):
        place(market, market.buyer, workload="batch")


def test_the_monthly_cap_of_a_tier_is_a_budget_that_everybody_has(market: Market, worst: int) -> None:
    operator = Principal(None, market.buyer.account_id, Role.ADMIN)
    cap = TierChanges(request_cap_nano=worst, month_cap_nano=worst)
    tiers.set_tier(market.app.uow(), utc_now(), operator, "medium", cap)
    place(market, market.buyer)
    with pytest.raises(BudgetExceeded):
        place(market, market.buyer)
    place(market, market.account("another", NANO_PER_CREDIT))


def test_the_monthly_cap_of_a_tier_is_changed_with_the_tier_only(market: Market) -> None:
    operator = Principal(None, market.buyer.account_id, Role.ADMIN)
    found = budgets.list_budgets(market.app.uow(), utc_now(), market.buyer.account_id)
    [cap] = [budget for budget in found if budget.tier == "small"]
    acts: list[Callable[[], Budget]] = [
        lambda: budgets.set_budget(market.app.uow(), utc_now(), operator, None, BudgetWish("month", 5, "small")),
        lambda: budgets.end_budget(market.app.uow(), utc_now(), operator, cap.id),
    ]
    for act in acts:
        with pytest.raises(Invalid) as refused:
            act()
        assert (refused.value.code, refused.value.field) == ("budget_of_tier", "tier")
        assert "swarmex tier set small --month-cap" in str(refused.value.accepted)
    assert budgets.list_budgets(market.app.uow(), utc_now(), market.buyer.account_id) == found
    budgets.set_budget(market.app.uow(), utc_now(), operator, None, BudgetWish("day", 5, "small"))
    budgets.set_budget(market.app.uow(), utc_now(), operator, None, BudgetWish("month", 5, "small", mode="soft"))


def test_another_limit_for_the_same_budget_replaces_it_and_an_ended_one_limits_nothing(
    market: Market, worst: int
) -> None:
    first = limited(market, market.buyer, 0)
    second = limited(market, market.buyer, worst)
    assert first.id == second.id
    place(market, market.buyer)
    with pytest.raises(BudgetExceeded):
        place(market, market.buyer)
    ended = budgets.end_budget(market.app.uow(), utc_now(), market.buyer, second.id)
    assert ended.used_nano == worst
    place(market, market.buyer)
    with pytest.raises(NotFound):
        budgets.end_budget(market.app.uow(), utc_now(), market.buyer, second.id)


def test_who_may_not_set_a_budget_is_told_so_or_sees_nothing(market: Market) -> None:
    lab, _, ana, _ = market.organisation("lab", "ana", "ben")
    stranger = market.account("stranger")
    wish = BudgetWish("day", 5)
    for who, account, error in (
        (stranger, lab, NotFound),
        (ana, lab, Forbidden),
        (stranger, market.buyer.account_id, NotFound),
        (stranger, None, Forbidden),
    ):
        with pytest.raises(error):
            budgets.set_budget(market.app.uow(), utc_now(), who, account, wish)
    mine = limited(market, market.buyer, 1)
    with pytest.raises(NotFound):
        budgets.end_budget(market.app.uow(), utc_now(), stranger, mine.id)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"period": "week"}, "invalid_period"),
        ({"mode": "gentle"}, "invalid_mode"),
        ({"tier": "huge"}, "invalid_tier"),
        ({"limit_nano": -1}, "invalid_amount"),
        ({"timezone": "Mars/Olympus"}, "invalid_timezone"),
        ({"timezone": "UTC'; --"}, "invalid_timezone"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_with_a_code(market: Market, changes: dict[str, object], code: str) -> None:
    values: dict[str, object] = {"period": "day", "limit_nano": 5}
    wish = BudgetWish(**(values | changes))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(Invalid) as refused:
        budgets.set_budget(market.app.uow(), utc_now(), market.buyer, market.buyer.account_id, wish)
    assert refused.value.code == code
    assert refused.value.accepted
