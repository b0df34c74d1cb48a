"""Allowances: drawn on in memory, reported in turn, and never worth more than what is held."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.allowances import (
    BLOCK_REQUESTS,
    Draw,
    Purse,
    Report,
    Standing,
    Used,
    Verdict,
    block_nano,
    judge,
    request_max_nano,
    used_of,
)
from backend.domain.budgets import Budget, BudgetMode, BudgetPeriod
from backend.domain.ids import AccountId, BudgetId, LeaseId, OrderId
from backend.domain.tiers import TierName

ORDER = OrderId(UUID(int=1))
LEASES = [LeaseId(UUID(int=10)), LeaseId(UUID(int=11))]
MEMBER = AccountId(UUID(int=20))


def used(nano: int, lease: LeaseId = LEASES[0]) -> Used:
    return Used(lease, 1, nano, nano, nano)


def test_a_purse_gives_no_more_than_is_held() -> None:
    purse = Purse(ORDER, 10)
    assert purse.draw(6)
    assert purse.draw(5) is None
    assert purse.draw(4)
    assert purse.free_nano == 0


def test_what_a_request_did_not_cost_is_free_again_and_one_that_did_not_run_costs_nothing() -> None:
    purse = Purse(ORDER, 10)
    ran, failed = purse.draw(6), purse.draw(4)
    assert ran
    assert failed
    ran.settle(used(2))
    failed.cancel()
    assert (purse.used_nano, purse.under_way_nano, purse.free_nano) == (2, 0, 8)


def test_a_request_ends_once() -> None:
    purse = Purse(ORDER, 10)
    draw = purse.draw(6)
    assert draw
    draw.settle(used(2))
    draw.settle(used(2))
    draw.cancel()
    assert (purse.used_nano, purse.free_nano) == (2, 8)
    other = purse.draw(6)
    assert other
    other.cancel()
    other.settle(used(3))
    other.cancel()
    assert (purse.used_nano, purse.free_nano) == (2, 8)


def test_the_next_block_is_due_when_half_of_the_last_one_is_gone() -> None:
    purse = Purse(ORDER, 10)
    seen = [purse.is_low for nano in (5, 1) if purse.draw(nano)]
    purse.raised(100)
    assert [*seen, purse.is_low] == [False, True, False]
    assert (purse.held_nano, purse.free_nano) == (110, 104)


def test_a_report_is_the_same_until_it_is_answered_and_what_comes_meanwhile_is_in_the_next() -> None:
    purse = Purse(ORDER, 100)
    assert purse.report() is None
    for nano, lease in ((3, LEASES[0]), (4, LEASES[0]), (5, LEASES[1])):
        draw = purse.draw(10)
        assert draw
        draw.settle(used(nano, lease))
    first = purse.report()
    assert first == Report(ORDER, 1, (Used(LEASES[0], 2, 7, 7, 7), used(5, LEASES[1])))
    assert first.paid_nano == 12
    late = purse.draw(10)
    assert late
    late.settle(used(1))
    assert purse.report() is first
    purse.answered(first)
    second = purse.report(last=True)
    assert second == Report(ORDER, 2, (used(1),), last=True)
    purse.answered(first)  # an answer that comes twice is no answer to the next
    assert purse.report() is second
    purse.answered(second)
    assert purse.report() is None


def test_an_allowance_that_nobody_used_is_closed_by_an_empty_report() -> None:
    assert Purse(ORDER, 100).report(last=True) == Report(ORDER, 1, (), last=True)


def test_reports_are_judged_in_this_order() -> None:
    one = Report(ORDER, 3, (used(5),))
    assert judge(None, one) is Verdict.ENDED
    assert judge(Standing(False, 3, 0), one) is Verdict.KNOWN
    assert judge(Standing(True, 2, 5), one) is Verdict.TAKEN
    assert judge(Standing(False, 2, 5), one) is Verdict.ENDED
    assert judge(Standing(True, 1, 5), one) is Verdict.ENDED
    assert judge(Standing(True, 2, 4), one) is Verdict.ENDED


def test_a_request_is_billed_the_least_of_what_was_reported_seen_and_possible() -> None:
    price, earns = 2_000_000, 1_000_000
    assert used_of(LEASES[0], price, earns, 300, 200, 100) == Used(LEASES[0], 1, 100, 200, 100)
    assert used_of(LEASES[0], price, earns, 300, 200, 900).busy_us == 200
    assert used_of(LEASES[0], price, earns, 300, 900, 900).busy_us == 300
    assert used_of(LEASES[0], price, earns, 300, 200, None).busy_us == 200
    assert used_of(LEASES[0], price, earns, 300, 200, -5).busy_us == 0


def test_a_block_is_for_many_requests_under_the_cap_of_the_tier_and_for_one_at_least() -> None:
    assert block_nano(10, 10**9) == 10 * BLOCK_REQUESTS
    assert block_nano(10, 1_000) == 1_000
    assert block_nano(2_000, 1_000) == 2_000


def test_one_request_may_cost_what_the_tightest_hard_budget_per_request_says() -> None:
    def budget(nano: int, **changes: object) -> Budget:
        values: dict[str, object] = {
            "id": BudgetId(UUID(int=30)),
            "account_id": None,
            "member_id": None,
            "period": BudgetPeriod.REQUEST,
            "tier": None,
            "limit_nano": nano,
            "mode": BudgetMode.HARD,
            "timezone": "UTC",
        }
        return Budget(**(values | changes))  # type: ignore[arg-type]  # a test's own words

    beside = [
        budget(1, mode=BudgetMode.SOFT),
        budget(2, period=BudgetPeriod.DAY),
        budget(3, tier=TierName.LARGE),
        budget(4, member_id=AccountId(UUID(int=21))),
    ]
    assert request_max_nano(beside, MEMBER, TierName.SMALL, 100) == 100
    assert request_max_nano([*beside, budget(50, tier=TierName.SMALL)], MEMBER, TierName.SMALL, 100) == 50
    assert request_max_nano([*beside, budget(40, member_id=MEMBER)], MEMBER, TierName.SMALL, 100) == 40


class Coordinator:
    """The coordinator's side of one allowance, as `judge` decides; it remembers every charge."""

    def __init__(self, held_nano: int) -> None:
        self.held_nano = held_nano
        self.standing = Standing(True, 0, held_nano)
        self.charged: list[Report] = []

    def take(self, one: Report) -> Verdict:
        verdict = judge(self.standing, one)
        if verdict is Verdict.TAKEN:
            self.charged.append(one)
            self.standing = Standing(not one.last, one.seq, self.standing.left_nano - one.paid_nano)
        return verdict

    def end(self) -> None:
        """Give back what is left, as when its gateway is lost."""
        self.standing = Standing(False, self.standing.seq, 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("draw"), st.integers(1, 40)),
        st.tuples(st.just("settle"), st.integers(0, 40)),
        st.tuples(st.just("cancel"), st.just(0)),
        st.tuples(st.just("raise"), st.integers(1, 60)),
        st.tuples(st.sampled_from(["told", "unanswered", "again", "lost", "crash"]), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 100), STEPS)
def test_whatever_happens_in_whatever_order_nothing_is_charged_above_the_hold_or_twice(
    held: int, steps: list[tuple[str, int]]
) -> None:
    """Requests begin, end and fail, reports are lost, answers are lost, gateways crash and are given up."""
    purse, coordinator = Purse(ORDER, held), Coordinator(held)
    under_way: list[tuple[Draw, int]] = []
    ran_nano, settled = 0, 0
    before: list[Report] = []
    for step, nano in steps:
        if step == "draw" and (draw := purse.draw(nano)):
            under_way.append((draw, nano))
        elif step == "settle" and under_way:
            draw, most = under_way.pop(0)
            cost = min(nano, most)
            draw.settle(used(cost, LEASES[nano % 2]))
            ran_nano, settled = ran_nano + cost, settled + 1
        elif step == "cancel" and under_way:
            under_way.pop()[0].cancel()
        elif step == "raise" and coordinator.standing.is_open:
            coordinator.held_nano += nano
            coordinator.standing = Standing(True, coordinator.standing.seq, coordinator.standing.left_nano + nano)
            purse.raised(nano)
        elif step in ("told", "unanswered") and (one := purse.report()):
            before.append(one)
            verdict = coordinator.take(one)
            if step == "told" and verdict is not Verdict.ENDED:
                purse.answered(one)
        elif step == "again":
            for one in before:  # whatever was ever sent arrives once more
                coordinator.take(one)
        elif step == "lost":
            coordinator.end()
        elif step == "crash":
            break
        charged = sum(one.paid_nano for one in coordinator.charged)
        assert purse.free_nano >= 0
        assert purse.held_nano == purse.used_nano + purse.under_way_nano + purse.free_nano
        assert charged <= ran_nano <= purse.held_nano <= coordinator.held_nano
        assert charged <= coordinator.held_nano
    numbers = [one.seq for one in coordinator.charged]
    assert numbers == sorted(set(numbers))
    assert sum(u.requests for one in coordinator.charged for u in one.used) <= settled


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=30))
def test_without_a_crash_all_that_ran_is_charged_exactly(requests: list[tuple[int, bool]]) -> None:
    held = 20 * (len(requests) + 1)
    purse, coordinator = Purse(ORDER, held), Coordinator(held)
    for nano, answered in requests:
        draw = purse.draw(20)
        assert draw
        draw.settle(used(nano))
        one = purse.report()
        assert one
        if coordinator.take(one) and answered:
            purse.answered(one)
    while one := purse.report():
        assert coordinator.take(one) in (Verdict.TAKEN, Verdict.KNOWN)
        purse.answered(one)
    last = purse.report(last=True)
    assert last
    assert coordinator.take(last) is Verdict.TAKEN
    assert sum(one.paid_nano for one in coordinator.charged) == sum(nano for nano, _ in requests)
    assert not coordinator.standing.is_open
