"""Allowances as a gateway process draws on them: in memory, over the coordinator's own services."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal
from backend.domain.allowances import BLOCK_REQUESTS, GATEWAY_TRUSTED_S, Used, Verdict
from backend.domain.errors import BudgetExceeded, InsufficientFunds, SwarmexError, Unavailable
from backend.domain.money import NANO_PER_CREDIT
from backend.gateway.leases.allowances import Allowances
from backend.gateway.threads import Threads
from backend.services import orders
from tests.integration.services.budgeting import limited
from tests.integration.services.budgeting import used as budget_used
from tests.integration.services.clock import in_seconds
from tests.integration.services.killing import killed_before
from tests.integration.services.pooling import COST_NANO, MOST_NANO, allow, gateway_id, give_back, pooled, used
from tests.market import ASK, Market, Statements

pytestmark = pytest.mark.usefixtures("books_in_order")


class Side:
    """One gateway process; its clock stands still until it is told otherwise."""

    def __init__(self, market: Market, cost: Used) -> None:
        self.market = market
        self.cost = cost
        self.now_s = 100.0
        self.threads = Threads()
        self.allowances = Allowances(market.app, self.threads, gateway_id(), clock=lambda: self.now_s)

    async def serve(self, whose: Principal, most_nano: int = MOST_NANO) -> None:
        """One request that ran."""
        draw = await self.allowances.draw(whose.spender, "doubling", 1, most_nano, ASK)
        await asyncio.sleep(0)
        draw.settle(self.cost)

    async def serve_many(self, whose: Principal, requests: int, most_nano: int = MOST_NANO) -> int:
        """So many at once; returns how many ran."""
        outcomes = await asyncio.gather(
            *(self.serve(whose, most_nano) for _ in range(requests)), return_exceptions=True
        )
        assert all(one is None or isinstance(one, SwarmexError) for one in outcomes), outcomes
        return outcomes.count(None)

    async def tell(self) -> None:
        """Report what was used."""
        await self.allowances.reports.tell()


def acting(market: Market, act: Callable[[Side], Awaitable[None]]) -> Used:
    """Let a gateway process act until it ends; returns what a request of it costs."""
    cost = used(pooled(market, gateway_id()))

    async def run() -> None:
        side = Side(market, cost)
        try:
            await act(side)
            await side.allowances.close()
        finally:
            side.threads.close()

    asyncio.run(run())
    give_back(market)
    return cost


def spent(market: Market) -> int:
    return 1_000 * NANO_PER_CREDIT - market.wallet().wallet_nano


def test_what_ran_is_charged_what_did_not_is_not_and_the_rest_is_given_back_at_the_end(market: Market) -> None:
    async def act(side: Side) -> None:
        assert await side.serve_many(market.buyer, 20) == 20
        left = await side.allowances.draw(market.buyer.spender, "doubling", 1, MOST_NANO, ASK)
        left.cancel()
        under_way = await side.allowances.draw(market.buyer.spender, "doubling", 1, MOST_NANO, ASK)
        assert under_way.most_nano == MOST_NANO  # and given up when the process ends

    acting(market, act)
    assert spent(market) == 20 * COST_NANO
    assert market.wallet().reserved_nano == 0


def test_a_thousand_requests_of_one_user_ask_the_database_for_two_blocks_and_their_reports(market: Market) -> None:
    seen = {}

    async def act(side: Side) -> None:
        await side.serve(market.buyer)  # it opens the allowance
        with Statements(market.app.engine) as statements:
            for _ in range(200):
                await side.serve(market.buyer)
        seen["drawing"] = statements.count
        with Statements(market.app.engine) as statements:
            for _ in range(4):
                assert await side.serve_many(market.buyer, 200) == 200
                await side.tell()
        seen["all"] = statements.count

    acting(market, act)
    assert seen["drawing"] == 0
    assert seen["all"] <= 4 * 17 + 2 * 16, seen
    assert spent(market) == 1_001 * COST_NANO


def test_users_who_come_at_once_share_one_report_and_each_has_one_allowance(market: Market) -> None:
    users = [market.account(f"user-{number}", NANO_PER_CREDIT) for number in range(12)]
    seen = []

    async def act(side: Side) -> None:
        await asyncio.gather(*(side.serve_many(user, 5) for user in users))
        with Statements(market.app.engine) as statements:
            await side.tell()
        seen.append(statements.count)

    acting(market, act)
    assert seen[0] <= 17
    for user in users:
        placed = orders.list_orders(market.app.uow(), user.account_id)
        assert [(order.workload, order.charged_nano) for order in placed] == [("requests", 5 * COST_NANO)]


def test_with_a_budget_nearly_used_up_two_gateways_together_never_go_over_it(market: Market) -> None:
    limited(market, market.buyer, budget := 31 * MOST_NANO)
    ran: list[int] = []

    async def act(side: Side) -> None:
        other = Side(market, side.cost)
        for _ in range(4):
            ran.extend(await asyncio.gather(side.serve_many(market.buyer, 9), other.serve_many(market.buyer, 9)))
            await asyncio.gather(side.tell(), other.tell())
            assert budget_used(market, market.buyer.account_id)["month"] <= budget
        await other.allowances.close()
        other.threads.close()

    acting(market, act)
    assert sum(ran) > 0
    assert spent(market) == sum(ran) * COST_NANO <= budget
    assert budget_used(market, market.buyer.account_id)["month"] == spent(market)


def test_who_has_no_money_left_is_told_so_without_a_look_up_for_each_request(market: Market) -> None:
    poor = market.account("poor", 2 * MOST_NANO)

    async def act(side: Side) -> None:
        first = await side.allowances.draw(poor.spender, "doubling", 1, MOST_NANO, ASK)
        second = await side.allowances.draw(poor.spender, "doubling", 1, MOST_NANO, ASK)
        with pytest.raises(InsufficientFunds):
            await side.serve(poor)
        with Statements(market.app.engine) as statements:
            for _ in range(50):
                with pytest.raises(InsufficientFunds):
                    await side.serve(poor)
        assert statements.count == 0
        first.cancel()
        await side.serve(poor)  # what did not run is free again
        second.cancel()
        side.now_s += 2
        with pytest.raises(InsufficientFunds):
            await side.serve(poor, 3 * MOST_NANO)

    acting(market, act)


def test_a_request_above_what_one_may_cost_is_refused_though_more_is_held(market: Market) -> None:
    limited(market, market.buyer, MOST_NANO, "request")

    async def act(side: Side) -> None:
        await side.serve(market.buyer)
        with pytest.raises(BudgetExceeded):
            await side.serve(market.buyer, MOST_NANO + 1)
        await side.serve(market.buyer)

    acting(market, act)
    assert spent(market) == 2 * COST_NANO


def test_a_request_that_is_dearer_than_all_that_is_free_waits_for_the_next_block(market: Market) -> None:
    async def act(side: Side) -> None:
        await side.serve(market.buyer)
        await side.serve(market.buyer, (BLOCK_REQUESTS + 1) * MOST_NANO)

    acting(market, act)
    assert spent(market) == 2 * COST_NANO


def test_a_report_whose_answer_was_lost_is_sent_again_and_charged_once(market: Market) -> None:
    async def act(side: Side) -> None:
        from backend.services import allowance_reports

        await side.serve_many(market.buyer, 7)
        [one] = [allowance.purse.report() for allowance in side.allowances._book]
        assert one
        taken = allowance_reports.report(market.app.uow(), utc_now(), side.allowances.gateway_id, [one])
        assert list(taken.values()) == [Verdict.TAKEN]
        await side.serve_many(market.buyer, 3)  # before the process has heard of it
        await side.tell()
        assert spent(market) == 7 * COST_NANO
        await side.tell()
        assert spent(market) == 10 * COST_NANO

    acting(market, act)
    assert spent(market) == 10 * COST_NANO


def test_after_a_silence_nothing_is_drawn_on_what_may_have_been_given_back(market: Market) -> None:
    async def act(side: Side) -> None:
        await side.serve(market.buyer)
        side.now_s += GATEWAY_TRUSTED_S + 1
        await side.serve(market.buyer)
        placed = orders.list_orders(market.app.uow(), market.buyer.account_id)
        assert [order.charged_nano for order in placed] == [0, COST_NANO]  # the second one is open still

    acting(market, act)
    assert spent(market) == 2 * COST_NANO


def test_what_was_used_of_an_allowance_that_was_given_back_is_nobodys_debt(market: Market) -> None:
    async def act(side: Side) -> None:
        await side.serve_many(market.buyer, 3)
        give_back(market, in_seconds(120))
        await side.tell()
        assert spent(market) == 0
        await side.serve(market.buyer)

    acting(market, act)
    assert spent(market) == COST_NANO


def test_an_allowance_that_nobody_uses_or_whose_time_is_over_is_ended(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(side: Side) -> None:
        await side.serve(market.buyer)
        monkeypatch.setattr(
            "backend.gateway.leases.allowance_reports.utc_now", lambda: utc_now() + timedelta(seconds=16)
        )
        await side.tell()
        assert market.wallet().reserved_nano == 0
        await side.serve(market.buyer)
        assert market.wallet().reserved_nano > 0
        monkeypatch.setattr("backend.gateway.leases.allowances.utc_now", lambda: utc_now() + timedelta(hours=1))
        await side.serve(market.buyer)

    acting(market, act)
    assert [order.charged_nano for order in orders.list_orders(market.app.uow(), market.buyer.account_id)] == [
        COST_NANO
    ] * 3


def test_an_allowance_that_this_process_gave_up_waiting_for_is_ended_and_its_own_are_not(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(side: Side) -> None:
        lost = allow(market, side.allowances.gateway_id)
        await side.serve(market.buyer)
        monkeypatch.setattr("backend.gateway.leases.allowance_reports.utc_now", lambda: in_seconds(120))
        await side.allowances.reports.call_roll()
        monkeypatch.undo()
        give_back(market)
        assert orders.show_order(market.app.uow(), lost.order_id, market.buyer).state == "settled"
        assert market.wallet().reserved_nano == lost.held_nano  # of the one that it has
        await side.serve(market.buyer)

    acting(market, act)
    assert spent(market) == 2 * COST_NANO


def test_requests_that_find_the_coordinator_silent_ask_it_once_together(market: Market) -> None:
    seen = []

    async def act(side: Side) -> None:
        await side.serve(market.buyer)
        side.now_s += GATEWAY_TRUSTED_S + 1
        with Statements(market.app.engine) as statements:
            assert await side.serve_many(market.buyer, 50) == 50
        seen.append(statements.count)

    acting(market, act)
    assert seen[0] <= 19 + 16  # one report that ends what was held, and the next block
    assert spent(market) == 51 * COST_NANO


def test_while_the_coordinator_is_silent_nothing_is_drawn(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(side: Side) -> None:
        await side.serve(market.buyer)
        side.now_s += GATEWAY_TRUSTED_S + 1
        with monkeypatch.context() as patch:
            patch.setattr(market.app, "uow", _away)
            with pytest.raises(Unavailable):
                await side.serve(market.buyer)
        await side.serve(market.buyer)

    acting(market, act)
    assert spent(market) == 2 * COST_NANO


def _away() -> None:
    raise Unavailable("the database does not answer", code="coordinator_unreachable")


@pytest.mark.slow
def test_a_crash_at_every_statement_of_a_report_charges_all_or_nothing_and_in_the_end_once(market: Market) -> None:
    async def act(side: Side) -> None:
        await side.serve(market.buyer)
        with Statements(market.app.engine) as statements:
            await side.tell()
        for number in range(1, statements.count + 2):  # and the commit
            before = spent(market)
            await side.serve(market.buyer)
            with killed_before(market.app.engine, market.app.database_url, number), pytest.raises(Unavailable):
                await side.tell()
            assert spent(market) == before, number
            await side.tell()
            assert spent(market) == before + COST_NANO, number
            await side.tell()
            assert spent(market) == before + COST_NANO, number

    acting(market, act)
