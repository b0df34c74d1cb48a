"""Disputes: what is contested is withheld, and resolved once, exactly."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.corrections import FundShort, PayeeShort
from backend.domain.disputes import DISPUTE_DAYS, Dispute
from backend.domain.errors import Conflict, Forbidden, InsufficientFunds, Invalid, NotFound, SwarmexError
from backend.domain.idempotency import Idempotency
from backend.domain.ids import DisputeId, OrderId
from backend.domain.ledger import AccountKind, TransferKind
from backend.domain.money import NANO_PER_CREDIT, fee_nano
from backend.domain.nodes import NodeSpec
from backend.services import accounts, corrections, credits, disputes, nodes, payouts
from backend.storage.contention import RETRIES
from backend.storage.order_rows import Order
from tests.integration.services.clock import in_seconds
from tests.integration.services.earning import (
    ADMIN,
    BUSY_US,
    CHARGED,
    DEAR,
    assert_audited,
    earn,
    fill_fund,
    has,
    logged,
    ran,
    ran_again,
)
from tests.market import REQUEST, Market

FEE = fee_nano(CHARGED, 40_000)
EARNED = CHARGED - FEE
FUNDS = 1_000 * NANO_PER_CREDIT


def contest(market: Market, order: Order, principal: Principal | None = None) -> Dispute:
    return disputes.open_dispute(market.app.uow(), utc_now(), principal or market.buyer, order.id, "all zeros")


def uphold(market: Market, dispute: Dispute, nano: int | None = None, from_fund: bool = False) -> Dispute:
    return disputes.uphold(
        market.app.uow(), utc_now(), ADMIN, dispute.id, "the node was broken", nano, from_fund=from_fund
    )


def reject(market: Market, dispute: Dispute) -> Dispute:
    return disputes.reject(market.app.uow(), utc_now(), ADMIN, dispute.id, "it ran as asked")


def earnings(market: Market) -> int:
    return has(market, market.provider, AccountKind.EARNINGS)


def withheld(market: Market) -> int:
    return has(market, market.provider, AccountKind.WITHHELD)


def test_what_an_order_was_charged_is_withheld_while_it_is_contested_and_restored_when_rejected(market: Market) -> None:
    order = ran(market)
    dispute = contest(market, order)
    assert (dispute.state, dispute.withheld_nano) == ("open", EARNED)
    assert (earnings(market), withheld(market)) == (0, EARNED)
    rejected = reject(market, dispute)
    assert (rejected.state, rejected.refunded_nano, rejected.resolution) == ("rejected", 0, "it ran as asked")
    assert (earnings(market), withheld(market)) == (EARNED, 0)
    assert market.show(order).charged_nano == CHARGED
    assert disputes.show_dispute(market.app.uow(), dispute.id, market.buyer) == rejected
    assert logged(market, "dispute") == ["dispute.open", "dispute.rejected"]
    assert_audited(market)


def test_a_dispute_that_is_upheld_gives_everything_back_and_every_transfer_has_its_mirror(market: Market) -> None:
    order = ran(market)
    upheld = uphold(market, contest(market, order))
    assert (upheld.state, upheld.refunded_nano) == ("upheld", CHARGED)
    assert (earnings(market), withheld(market), market.wallet().wallet_nano) == (0, 0, FUNDS)
    assert market.show(order).charged_nano == 0
    with market.app.uow() as uow:
        kinds = [t.kind for t in uow.ledger.transfers_of_order(order.id)]
    assert kinds == ["charge", "fee", "withhold", "restore", "reversal", "reversal"]
    with pytest.raises(Conflict) as nothing:
        contest(market, order)
    assert nothing.value.code == "nothing_charged"
    assert_audited(market)


@pytest.mark.parametrize("nano", [1, CHARGED // 3, CHARGED - 1])
def test_a_dispute_upheld_in_part_leaves_exactly_the_rest_charged_with_its_fee(market: Market, nano: int) -> None:
    order = ran(market)
    upheld = uphold(market, contest(market, order), nano)
    left = CHARGED - nano
    assert upheld.refunded_nano == nano
    assert market.show(order).charged_nano == left
    assert market.wallet().wallet_nano == FUNDS - left
    assert earnings(market) == left - fee_nano(left, 40_000)
    assert_audited(market)


def test_what_several_providers_earned_is_taken_from_each_in_proportion(market: Market) -> None:
    rival = market.account("rival")
    for owner, name in ((market.provider, "a"), (rival, "b")):
        node = nodes.register_node(
            market.app.uow(), utc_now(), owner.account_id, NodeSpec(name, "fog", "north", 2, "pool")
        )
        nodes.offer(market.app.uow(), utc_now(), node.id, DEAR, owner)
    executor = market.executor()
    [order] = market.place(workload="batch", requests=[REQUEST] * 8, slots=4)
    market.clear()
    executor.commit(executor.claim(market.dispatched()), busy_us=BUSY_US)
    market.settle()
    charged = market.show(order).charged_nano
    half = has(market, rival, AccountKind.EARNINGS)
    assert (charged, half) == (8 * CHARGED, earnings(market))
    dispute = contest(market, order)
    assert dispute.withheld_nano == 2 * half
    uphold(market, dispute, charged // 4)
    left = 3 * CHARGED
    assert has(market, rival, AccountKind.EARNINGS) == earnings(market) == left - fee_nano(left, 40_000)
    assert market.show(order).charged_nano == 2 * left
    again = contest(market, order)  # what was left can be contested as well
    uphold(market, again)
    assert market.wallet().wallet_nano == FUNDS
    assert_audited(market)


def test_only_what_a_provider_still_has_is_withheld_and_the_fund_pays_the_rest_when_asked(market: Market) -> None:
    order = ran(market)
    earn(market, NANO_PER_CREDIT)
    payouts.request_payout(market.app.uow(), utc_now(), market.provider, NANO_PER_CREDIT + EARNED - 10, "bank")
    dispute, before = contest(market, order), market.wallet().wallet_nano
    assert (dispute.withheld_nano, earnings(market)) == (10, 0)
    with pytest.raises(PayeeShort) as refused:
        uphold(market, dispute)
    assert refused.value.code == "payee_short_of_funds"
    with pytest.raises(FundShort):
        uphold(market, dispute, from_fund=True)
    assert withheld(market) == 10
    fill_fund(market, CHARGED)
    upheld = uphold(market, dispute, from_fund=True)
    assert (upheld.state, upheld.refunded_nano) == ("upheld", CHARGED)
    assert market.wallet().wallet_nano == before + CHARGED
    assert (earnings(market), withheld(market)) == (10, 0)
    assert market.show(order).charged_nano == CHARGED
    with pytest.raises(Conflict):
        contest(market, order)
    assert_audited(market)


def test_there_is_one_open_dispute_of_an_order_and_its_charges_are_not_corrected_otherwise_meanwhile(
    market: Market,
) -> None:
    order = ran(market)
    contest(market, order)
    with pytest.raises(Conflict) as second:
        contest(market, order)
    assert second.value.code == "already_disputed"
    with market.app.uow() as uow:
        charge = uow.ledger.transfers_of_order(order.id)[0]
    with pytest.raises(Conflict) as refused:
        corrections.reverse(market.app.uow(), utc_now(), ADMIN, charge.id, "why")
    assert refused.value.code == "order_disputed"


def test_eight_who_open_a_dispute_at_once_open_one(market: Market) -> None:
    order = ran(market)
    assert codes(8, lambda: contest(market, order)) == ["already_disputed"] * 7 + ["done"]
    assert withheld(market) == EARNED


def test_upheld_and_rejected_by_eight_at_once_a_dispute_is_resolved_once(market: Market) -> None:
    order = ran(market)
    ran_again(market)
    dispute = contest(market, order)
    kinds = iter([uphold, reject] * 4)
    assert codes(8, lambda: next(kinds)(market, dispute)) == ["dispute_resolved"] * 7 + ["done"]
    state = disputes.show_dispute(market.app.uow(), dispute.id, ADMIN).state
    assert market.show(order).charged_nano == (0 if state == "upheld" else CHARGED)
    assert withheld(market) == 0
    assert_audited(market)


def codes(threads: int, action: Callable[[], object]) -> list[str]:
    """What became of an action that several did at once."""

    def attempt(_: int) -> str:
        try:
            action()
        except SwarmexError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(threads) as pool:
        return sorted(pool.map(attempt, range(threads)))


def test_an_order_is_contested_by_its_owner_once_it_has_ended_and_not_too_late(market: Market) -> None:
    order = ran(market)
    with pytest.raises(NotFound):
        contest(market, order, market.account("stranger"))
    with pytest.raises(NotFound):
        disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, OrderId(new_id()), "why")
    with pytest.raises(Invalid) as silent:
        disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, order.id, "")
    assert silent.value.field == "reason"
    market.executor("a")
    [running] = market.place()
    with pytest.raises(Conflict) as early:
        contest(market, running)
    assert early.value.code == "order_not_closed"
    late = in_seconds(timedelta(days=DISPUTE_DAYS, minutes=1).total_seconds())
    with pytest.raises(Conflict) as too_late:
        disputes.open_dispute(market.app.uow(), late, market.buyer, order.id, "why")
    assert too_late.value.code == "dispute_too_late"
    assert disputes.list_disputes(market.app.uow(), None) == []
    assert contest(market, order).state == "open"


def test_only_admins_resolve_and_never_more_than_was_contested(market: Market) -> None:
    dispute = contest(market, ran(market))
    for nano in (0, CHARGED + 1):
        with pytest.raises(Invalid) as refused:
            uphold(market, dispute, nano)
        assert (refused.value.code, refused.value.field) == ("invalid_amount", "amount")
    for resolve in (disputes.uphold, disputes.reject):
        with pytest.raises(Forbidden):
            resolve(market.app.uow(), utc_now(), market.buyer, dispute.id, "why")
        with pytest.raises(Invalid):
            resolve(market.app.uow(), utc_now(), ADMIN, dispute.id, "")
        with pytest.raises(NotFound):
            resolve(market.app.uow(), utc_now(), ADMIN, DisputeId(new_id()), "why")
    assert disputes.show_dispute(market.app.uow(), dispute.id, ADMIN) == dispute


def test_disputes_are_listed_to_their_owner_and_shown_to_nobody_else(market: Market) -> None:
    first = contest(market, ran(market))
    second = contest(market, ran_again(market))
    reject(market, first)
    listed = disputes.list_disputes(market.app.uow(), market.buyer.account_id)
    assert [d.id for d in listed] == [second.id, first.id]
    assert [d.id for d in disputes.list_disputes(market.app.uow(), None, "open")] == [second.id]
    assert [d.id for d in disputes.list_disputes(market.app.uow(), None, before=second.id)] == [first.id]
    assert disputes.list_disputes(market.app.uow(), market.provider.account_id) == []
    with pytest.raises(NotFound):
        disputes.show_dispute(market.app.uow(), first.id, replace(market.provider, role=Role.USER))
    for limit, state, field in ((0, None, "limit"), (1, "gone", "state")):
        with pytest.raises(SwarmexError) as refused:
            disputes.list_disputes(market.app.uow(), None, state, limit)
        assert refused.value.field == field


def test_the_same_key_gets_the_first_answer(market: Market) -> None:
    order, key = ran(market), Idempotency("k", b"digest")
    made = [disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, order.id, "why", key) for _ in range(2)]
    assert made[0] == made[1]
    admin = Principal(None, market.account("admin").account_id, Role.ADMIN)
    done = [disputes.uphold(market.app.uow(), utc_now(), admin, made[0].id, "why", idempotency=key) for _ in range(2)]
    assert done[0] == done[1]
    assert accounts.show_account(market.app.uow(), market.buyer.account_id).wallet_nano == FUNDS


def test_an_order_that_was_all_fee_is_given_back_by_the_market_alone(market: Market) -> None:
    order = ran(market)
    with market.app.uow() as uow:
        charge = uow.ledger.transfers_of_order(order.id)[0]
    corrections.replace_charge(market.app.uow(), utc_now(), ADMIN, charge.id, 1, "of one nano all is fee")
    dispute = contest(market, order)
    assert dispute.withheld_nano == 0
    uphold(market, dispute)
    assert market.wallet().wallet_nano == FUNDS
    with market.app.uow() as uow:
        assert TransferKind.WITHHOLD not in {t.kind for t in uow.ledger.transfers_of_order(order.id)}
    assert_audited(market)


def test_contesting_correcting_and_paying_out_at_once_lose_nothing_and_do_not_deadlock(market: Market) -> None:
    placed = [ran(market), *(ran_again(market) for _ in range(5))]
    earn(market, 20 * NANO_PER_CREDIT)
    fill_fund(market, 3 * CHARGED)
    retried = RETRIES.total()

    def resolve(order: Order) -> None:
        with market.app.uow() as uow:
            dispute = uow.disputes.open_of(order.id)
        if dispute:
            uphold(market, dispute, CHARGED // 3, from_fund=True)

    def correct(order: Order) -> None:
        with market.app.uow() as uow:
            charge = uow.ledger.transfers_of_order(order.id)[0]
        corrections.reverse(market.app.uow(), utc_now(), ADMIN, charge.id, "why", True, True)

    def pay_out(_: Order) -> None:
        payouts.request_payout(market.app.uow(), utc_now(), market.provider, 2 * NANO_PER_CREDIT, "bank")

    def goodwill(order: Order) -> None:
        credits.refund(market.app.uow(), utc_now(), ADMIN, order.account_id, 100, "sorry", order.id)

    kinds = (lambda order: contest(market, order), resolve, correct, pay_out, goodwill)

    def act(number: int) -> None:
        with suppress(Conflict, InsufficientFunds, Invalid):
            kinds[number % len(kinds)](placed[number % len(placed)])

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(act, range(120)))
    assert RETRIES.total() == retried
    assert_audited(market)
