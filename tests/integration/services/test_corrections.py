"""Corrections: reversed whole and once, replaced by less, and what is paid when the payee has nothing left."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal
from backend.domain.corrections import FundShort, PayeeShort
from backend.domain.errors import Conflict, Forbidden, InsufficientFunds, Invalid, NotFound, SwarmexError
from backend.domain.idempotency import Idempotency
from backend.domain.ids import HoldId, OrderId, TransferId
from backend.domain.ledger import CREDITS_ID, FEES_ID, AccountKind, Transfer, TransferKind
from backend.domain.money import NANO_PER_CREDIT, fee_nano
from backend.services import corrections, credits, deposits, escrow, payouts, withholding
from backend.storage.order_rows import Order
from tests.integration.services.earning import (
    ADMIN,
    CHARGED,
    assert_audited,
    earn,
    fill_fund,
    has,
    logged,
    ran,
)
from tests.market import Market

FEE = fee_nano(CHARGED, 40_000)


def transfers(market: Market, order: Order) -> list[Transfer]:
    with market.app.uow() as uow:
        return uow.ledger.transfers_of_order(order.id)


def charge_and_fee(market: Market, order: Order) -> list[Transfer]:
    found = transfers(market, order)
    assert [t.kind for t in found] == [TransferKind.CHARGE, TransferKind.FEE]
    return found


def reverse(market: Market, transfer: Transfer, **how: Any) -> corrections.Correction:
    return corrections.reverse(market.app.uow(), utc_now(), ADMIN, transfer.id, "a mistake", **how)


def replace(market: Market, transfer: Transfer, nano: int, from_fund: bool = False) -> corrections.Correction:
    return corrections.replace_charge(
        market.app.uow(), utc_now(), ADMIN, transfer.id, nano, "wrong price", from_fund=from_fund
    )


def market_has(market: Market, account: object) -> int:
    with market.app.uow() as uow:
        return uow.ledger.lock(others=[CREDITS_ID, FEES_ID]).balances[account].posted_nano  # type: ignore[index]


def spend_earnings(market: Market) -> None:
    """Let the provider have nothing left: what it earned is held for a payout."""
    left = has(market, market.provider, AccountKind.EARNINGS)
    earn(market, NANO_PER_CREDIT)
    payouts.request_payout(market.app.uow(), utc_now(), market.provider, left + NANO_PER_CREDIT, "bank")


def test_a_charge_is_reversed_whole_and_once_and_the_order_shows_it(market: Market) -> None:
    order, before = ran(market), market.wallet().wallet_nano
    charge, fee = charge_and_fee(market, order)
    [reversal] = reverse(market, charge).transfers
    assert (reversal.kind, reversal.amount_nano, reversal.original_id) == ("reversal", CHARGED - FEE, charge.id)
    assert market.wallet().wallet_nano == before + CHARGED - FEE
    assert has(market, market.provider, AccountKind.EARNINGS) == 0
    assert market.show(order).charged_nano == FEE
    for transfer in (charge, reversal):
        with pytest.raises(SwarmexError) as again:
            reverse(market, transfer)
        assert again.value.code in ("already_reversed", "not_reversible")
    assert reverse(market, fee).transfers[0].amount_nano == FEE
    assert market.show(order).charged_nano == 0
    assert logged(market, "transfer") == ["transfer.reverse", "transfer.reverse"]
    assert_audited(market)


def test_a_charge_takes_its_fee_with_it_when_asked(market: Market) -> None:
    order = ran(market)
    charge, fee = charge_and_fee(market, order)
    with pytest.raises(Invalid) as refused:
        reverse(market, fee, with_fee=True)
    assert refused.value.code == "not_reversible"
    assert [t.original_id for t in reverse(market, charge, with_fee=True).transfers] == [charge.id, fee.id]
    assert market.show(order).charged_nano == 0
    assert market_has(market, FEES_ID) == 0
    assert_audited(market)


def test_eight_reversals_at_once_are_one(market: Market) -> None:
    charge, _ = charge_and_fee(market, ran(market))

    def attempt(_: int) -> str:
        try:
            reverse(market, charge, with_fee=True)
        except Conflict as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == ["already_reversed"] * 7 + ["done"]
    assert market.wallet().wallet_nano == 1_000 * NANO_PER_CREDIT
    assert_audited(market)


def test_the_same_key_gets_the_first_answer(market: Market) -> None:
    charge, _ = charge_and_fee(market, ran(market))
    key = Idempotency("k", b"digest")
    # An account of its own: an idempotency key belongs to one.
    admin = Principal(None, market.account("admin").account_id, ADMIN.role)
    answers = [
        corrections.reverse(market.app.uow(), utc_now(), admin, charge.id, "why", idempotency=key) for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert market.wallet().wallet_nano == 1_000 * NANO_PER_CREDIT - FEE


def test_a_smaller_charge_takes_the_place_of_a_larger_one_with_its_fee_again_and_again(market: Market) -> None:
    order = ran(market)
    charge, fee = charge_and_fee(market, order)
    for nano in (CHARGED // 2, 1_001, 1):
        made = replace(market, charge, nano).transfers
        assert market.show(order).charged_nano == nano
        assert has(market, market.provider, AccountKind.EARNINGS) == nano - fee_nano(nano, 40_000)
        assert market_has(market, FEES_ID) == fee_nano(nano, 40_000)
        anew = [t for t in made if t.kind is not TransferKind.REVERSAL]
        assert {t.original_id for t in anew} <= {charge.id, fee.id}
        charge, fee = (anew[0], anew[-1]) if len(anew) == 2 else (charge, anew[-1])
        charge = charge if nano > 1 else fee  # of one nano all is fee
    assert market.wallet().wallet_nano == 1_000 * NANO_PER_CREDIT - 1
    assert reverse(market, fee).transfers[0].amount_nano == 1
    assert market.show(order).charged_nano == 0
    assert_audited(market)


def test_a_replacement_needs_only_what_changes_on_one_of_the_two_sides(market: Market) -> None:
    order = ran(market)
    charge, _ = charge_and_fee(market, order)
    spend_earnings(market)
    earn(market, 1_000)  # much less than the charge, and enough for the difference
    replace(market, charge, CHARGED - 1_000)
    assert market.show(order).charged_nano == CHARGED - 1_000
    assert has(market, market.provider, AccountKind.EARNINGS) == 1_000 - (1_000 - fee_nano(1_000, 40_000))
    assert_audited(market)


@pytest.mark.parametrize("nano", [CHARGED, CHARGED + 1])
def test_a_charge_is_replaced_by_less_only(market: Market, nano: int) -> None:
    order = ran(market)
    charge, _ = charge_and_fee(market, order)
    with pytest.raises(Invalid) as refused:
        replace(market, charge, nano)
    assert (refused.value.code, refused.value.field) == ("invalid_amount", "amount")
    assert market.show(order).charged_nano == CHARGED


def test_what_is_no_charge_of_an_order_is_not_replaced(market: Market) -> None:
    made = deposits.deposit(market.app.uow(), utc_now(), market.buyer.account_id, 5, "d")
    with pytest.raises(Invalid) as refused:
        corrections.replace_charge(market.app.uow(), utc_now(), ADMIN, made.transfer_id, 1, "why")
    assert refused.value.code == "not_replaceable"
    with pytest.raises(Invalid):
        corrections.reverse(market.app.uow(), utc_now(), ADMIN, made.transfer_id, "why", from_fund=True)
    corrections.reverse(market.app.uow(), utc_now(), ADMIN, made.transfer_id, "bounced")
    assert market.wallet().wallet_nano == 1_000 * NANO_PER_CREDIT
    assert_audited(market)


def test_a_deposit_that_is_spent_cannot_be_taken_back(market: Market) -> None:
    poor = market.account("poor", 5)
    with market.app.uow() as uow:
        need = escrow.Need(poor.spender, HoldId(new_id()), 1, utc_now())
        escrow.reserve_one(uow, utc_now(), need)
        paid = uow.ledger.transfer_with_reference("payment for poor")
        uow.commit()
    assert paid is not None
    with pytest.raises(InsufficientFunds) as refused:
        reverse(market, paid)
    assert (refused.value.code, refused.value.field) == ("insufficient_funds", "transfer")
    assert has(market, poor, AccountKind.WALLET) == 4


def test_without_earnings_a_reversal_is_refused_and_names_the_fund_which_then_pays_once(market: Market) -> None:
    order = ran(market)
    charge, _ = charge_and_fee(market, order)
    spend_earnings(market)
    before = market.wallet().wallet_nano
    with pytest.raises(PayeeShort) as refused:
        reverse(market, charge)
    assert isinstance(refused.value, InsufficientFunds)
    assert (refused.value.code, refused.value.field) == ("payee_short_of_funds", "from_fund")
    assert "credits fund" in str(refused.value.accepted)
    with pytest.raises(FundShort):
        reverse(market, charge, from_fund=True)
    fill_fund(market, 2 * CHARGED)
    made = reverse(market, charge, from_fund=True)
    assert (made.from_fund_nano, [t.kind for t in made.transfers]) == (CHARGED - FEE, [TransferKind.REFUND])
    assert market.wallet().wallet_nano == before + CHARGED - FEE
    assert market.show(order).charged_nano == CHARGED  # it stands: somebody else paid it back
    earn(market, NANO_PER_CREDIT)  # the payee has money again
    for from_fund in (False, True):
        with pytest.raises(Conflict) as again:
            reverse(market, charge, from_fund=from_fund)
        assert again.value.code == "already_reversed"
    assert market_has(market, CREDITS_ID) == CHARGED + FEE
    reverse(market, made.transfers[0])  # the refund itself can be taken back
    assert market_has(market, CREDITS_ID) == 2 * CHARGED
    assert_audited(market)


def test_a_payee_that_is_short_pays_itself_if_it_can_even_when_the_fund_might(market: Market) -> None:
    charge, _ = charge_and_fee(market, ran(market))
    fill_fund(market, CHARGED)
    assert reverse(market, charge, from_fund=True).from_fund_nano == 0
    assert market_has(market, CREDITS_ID) == CHARGED


def test_nobody_gets_more_back_for_an_order_than_was_paid_for_it(market: Market) -> None:
    order = ran(market)
    charge, _ = charge_and_fee(market, order)
    fill_fund(market, CHARGED)
    account = market.buyer.account_id
    credits.refund(market.app.uow(), utc_now(), ADMIN, account, CHARGED, "sorry", order.id)
    with pytest.raises(Conflict) as refused:
        reverse(market, charge)
    assert refused.value.code == "already_refunded"
    with pytest.raises(Conflict):
        replace(market, charge, 1)
    assert market.show(order).charged_nano == CHARGED
    assert_audited(market)


def test_the_fund_takes_from_the_fees_and_pays_refunds_never_more_than_it_has(market: Market) -> None:
    ran(market)

    def fund(nano: int, source: str = "fees", reference: str = "october") -> credits.Funding:
        return credits.fund(market.app.uow(), utc_now(), ADMIN, nano, source, reference)

    with pytest.raises(FundShort):
        fund(FEE + 1)
    first, again = fund(FEE), fund(FEE)
    assert (first.available_nano, first.repeated) == (FEE, False)
    assert (again.transfer_id, again.available_nano, again.repeated) == (first.transfer_id, FEE, True)
    for nano, source in ((FEE - 1, "fees"), (FEE, "world")):
        with pytest.raises(Conflict) as reused:
            fund(nano, source)
        assert reused.value.code == "reference_reused"
    with pytest.raises(Invalid):
        fund(1, "air")
    with pytest.raises(Invalid):
        fund(1, reference="")
    account, before = market.buyer.account_id, market.wallet().wallet_nano
    with pytest.raises(FundShort) as short:
        credits.refund(market.app.uow(), utc_now(), ADMIN, account, FEE + 1, "sorry")
    assert (short.value.code, short.value.field) == ("fund_short", "amount")
    credits.refund(market.app.uow(), utc_now(), ADMIN, account, FEE, "sorry")
    assert market.wallet().wallet_nano == before + FEE
    with pytest.raises(NotFound):
        credits.refund(market.app.uow(), utc_now(), ADMIN, account, 1, "sorry", OrderId(new_id()))
    assert logged(market, "credits") == ["credits.fund", "credits.refund"]
    assert_audited(market)


def test_an_sla_credit_is_paid_once_from_what_is_withheld_and_topped_up_from_earnings(market: Market) -> None:
    order = ran(market)
    earned, before = has(market, market.provider, AccountKind.EARNINGS), market.wallet().wallet_nano
    provider, buyer = market.provider.account_id, market.buyer.account_id

    def credit(nano: int, reference: str) -> Transfer:
        with market.app.uow() as uow:
            paid = withholding.sla_credit(uow, utc_now(), buyer, provider, nano, reference, order.id)
            uow.commit()
        return paid

    with market.app.uow() as uow:
        withholding.withhold(uow, utc_now(), provider, 1_000, order.id)
        withholding.restore(uow, utc_now(), provider, 400, order.id)
        uow.commit()
    assert has(market, market.provider, AccountKind.WITHHELD) == 600
    first = credit(500, "window 1")
    assert credit(500, "window 1") == first
    with pytest.raises(Conflict) as reused:
        credit(501, "window 1")
    assert reused.value.code == "reference_reused"
    credit(1_100, "window 2")  # 100 of it withheld
    assert has(market, market.provider, AccountKind.WITHHELD) == 0
    assert has(market, market.provider, AccountKind.EARNINGS) == earned - 1_600
    assert market.wallet().wallet_nano == before + 1_600
    with pytest.raises(InsufficientFunds):
        credit(earned, "window 3")
    assert has(market, market.provider, AccountKind.EARNINGS) == earned - 1_600
    assert market.show(order).charged_nano == CHARGED
    assert_audited(market)


def test_what_is_withheld_is_no_mistake_that_a_reversal_mends(market: Market) -> None:
    order = ran(market)
    with market.app.uow() as uow:
        held = withholding.withhold(uow, utc_now(), market.provider.account_id, 10, order.id)
        uow.commit()
    with pytest.raises(Invalid) as refused:
        reverse(market, held)
    assert refused.value.code == "not_reversible"


def test_only_admins_correct_and_they_say_why(market: Market) -> None:
    charge, now = TransferId(new_id()), utc_now()
    for principal in (market.buyer, market.provider):
        for action in (
            lambda p: corrections.reverse(market.app.uow(), now, p, charge, "why"),
            lambda p: corrections.replace_charge(market.app.uow(), now, p, charge, 1, "why"),
            lambda p: credits.fund(market.app.uow(), now, p, 1, "world", "r"),
            lambda p: credits.refund(market.app.uow(), now, p, market.buyer.account_id, 1, "why"),
        ):
            with pytest.raises(Forbidden):
                action(principal)
    with pytest.raises(Invalid) as silent:
        corrections.reverse(market.app.uow(), now, ADMIN, charge, "  ")
    assert silent.value.field == "reason"
    with pytest.raises(NotFound) as unknown:
        corrections.reverse(market.app.uow(), now, ADMIN, charge, "why")
    assert unknown.value.code == "unknown_transfer"
