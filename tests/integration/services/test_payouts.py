"""Payouts: never more than was earned, held from the request on, paid once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Role
from backend.domain.errors import Conflict, Forbidden, InsufficientFunds, Invalid, NotFound, SwarmexError
from backend.domain.idempotency import Idempotency
from backend.domain.ids import KeyId, PayoutId
from backend.domain.ledger import AccountKind, HoldState, TransferKind
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.payouts import PAYOUT_MIN_NANO, Payout
from backend.services import corrections, deposits, holds, payouts, statements
from tests.integration.services.clock import in_seconds
from tests.integration.services.earning import ADMIN, assert_audited, earn, has, logged
from tests.market import Market

BANK = "DE02120300000000202051"
YEARS_S = 10 * 365 * 86_400


def ask(market: Market, nano: int = NANO_PER_CREDIT) -> Payout:
    return payouts.request_payout(market.app.uow(), utc_now(), market.provider, nano, BANK)


def approve(market: Market, payout: Payout) -> Payout:
    return payouts.approve_payout(market.app.uow(), utc_now(), ADMIN, payout.id)


def post(market: Market, payout: Payout, reference: str = "sepa-1") -> Payout:
    return payouts.post_payout(market.app.uow(), utc_now(), ADMIN, payout.id, reference)


def test_a_payout_is_held_approved_and_posted_under_the_banks_reference_once(market: Market) -> None:
    earn(market, 3 * NANO_PER_CREDIT)
    payout = ask(market, 2 * NANO_PER_CREDIT)
    assert has(market, market.provider, AccountKind.EARNINGS) == NANO_PER_CREDIT
    with pytest.raises(Conflict) as early:
        post(market, payout)
    assert early.value.code == "payout_requested"
    assert approve(market, payout).state == "approved"
    posted = post(market, payout)
    assert (posted.state, posted.reference) == ("posted", "sepa-1")
    assert post(market, payout) == posted
    with market.app.uow() as uow:
        assert uow.ledger.balances_of(market.provider.account_id)[AccountKind.EARNINGS].posted_nano == NANO_PER_CREDIT
        assert uow.ledger.lock_holds([payout.hold_id])[payout.hold_id].state is HoldState.POSTED
        paid = uow.ledger.transfer_with_reference("sepa-1")
    assert paid is not None
    assert (paid.kind, paid.amount_nano) == (TransferKind.PAYOUT, 2 * NANO_PER_CREDIT)
    assert logged(market, "payout") == ["payout.request", "payout.approve", "payout.post"]
    assert payouts.show_payout(market.app.uow(), payout.id, market.provider) == posted
    assert_audited(market)


def test_a_reference_that_was_booked_for_something_else_is_refused(market: Market) -> None:
    earn(market, 3 * NANO_PER_CREDIT)
    deposits.deposit(market.app.uow(), utc_now(), market.buyer.account_id, 1, "sepa-0")
    first, second = ask(market), ask(market)
    for payout in (first, second):
        approve(market, payout)
    post(market, first)
    for reference in ("sepa-0", "sepa-1"):
        with pytest.raises(Conflict) as refused:
            post(market, second, reference)
        assert (refused.value.code, refused.value.field) == ("reference_reused", "reference")
    with pytest.raises(Conflict) as another:
        post(market, first, "sepa-2")
    assert another.value.code == "payout_posted"
    assert post(market, second, "sepa-3").reference == "sepa-3"
    assert_audited(market)


def test_what_is_rejected_or_cancelled_can_be_asked_for_again(market: Market) -> None:
    earn(market, NANO_PER_CREDIT)
    rejected = ask(market)
    approve(market, rejected)
    done = payouts.reject_payout(market.app.uow(), utc_now(), ADMIN, rejected.id, "no such bank")
    assert (done.state, done.reason) == ("rejected", "no such bank")
    cancelled = ask(market)
    own = market.provider
    done = payouts.cancel_payout(market.app.uow(), utc_now(), own, cancelled.id)
    assert done.state == "cancelled"
    assert payouts.cancel_payout(market.app.uow(), utc_now(), own, cancelled.id) == done
    for payout in (rejected, cancelled):
        with pytest.raises(Conflict):
            approve(market, payout)
    approved = approve(market, ask(market))
    with pytest.raises(Conflict) as late:
        payouts.cancel_payout(market.app.uow(), utc_now(), own, approved.id)
    assert late.value.code == "payout_approved"
    assert [p.state for p in payouts.list_payouts(market.app.uow(), own.account_id)] == [
        "approved",
        "cancelled",
        "rejected",
    ]
    assert len(payouts.list_payouts(market.app.uow(), None, "rejected")) == 1
    assert payouts.list_payouts(market.app.uow(), market.buyer.account_id) == []
    assert_audited(market)


@pytest.mark.parametrize(
    ("nano", "destination", "code", "field"),
    [
        (PAYOUT_MIN_NANO - 1, BANK, "invalid_amount", "amount"),
        (2 * NANO_PER_CREDIT, BANK, "insufficient_earnings", "amount"),
        (NANO_PER_CREDIT, " ", "invalid_destination", "destination"),
        (NANO_PER_CREDIT, "a\nb", "invalid_destination", "destination"),
    ],
)
def test_what_cannot_be_paid_out_is_refused_and_writes_nothing(
    market: Market, nano: int, destination: str, code: str, field: str
) -> None:
    earn(market, NANO_PER_CREDIT)
    with pytest.raises(SwarmexError) as refused:
        payouts.request_payout(market.app.uow(), utc_now(), market.provider, nano, destination)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.accepted
    assert payouts.list_payouts(market.app.uow(), None) == []
    assert has(market, market.provider, AccountKind.EARNINGS) == NANO_PER_CREDIT


def test_nobody_approves_a_payout_of_their_own_nor_sees_anothers(market: Market) -> None:
    earn(market, NANO_PER_CREDIT)
    payout = ask(market)
    own = replace(market.provider, role=Role.ADMIN, key_id=KeyId(new_id()))
    member = replace(ADMIN, member_id=market.provider.account_id)
    for approver in (own, member):
        with pytest.raises(Forbidden) as refused:
            payouts.approve_payout(market.app.uow(), utc_now(), approver, payout.id)
        assert refused.value.code == "own_payout"
    with pytest.raises(Forbidden):
        payouts.approve_payout(market.app.uow(), utc_now(), market.provider, payout.id)
    with pytest.raises(Forbidden):
        payouts.request_payout(market.app.uow(), utc_now(), replace(market.buyer, role=Role.USER), 1 << 40, BANK)
    stranger = market.account("stranger")
    with pytest.raises(NotFound):
        payouts.show_payout(market.app.uow(), payout.id, stranger)
    with pytest.raises(NotFound):
        payouts.cancel_payout(market.app.uow(), utc_now(), stranger, payout.id)
    with pytest.raises(NotFound):
        payouts.show_payout(market.app.uow(), PayoutId(new_id()), ADMIN)


def test_sixteen_requests_at_once_never_hold_more_than_was_earned(market: Market) -> None:
    earn(market, 5 * NANO_PER_CREDIT)

    def request(_: int) -> bool:
        try:
            ask(market)
        except InsufficientFunds:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(request, range(32))) == 5
    assert has(market, market.provider, AccountKind.EARNINGS) == 0
    assert_audited(market)


def test_posting_cancelling_and_rejecting_at_once_end_a_payout_one_way(market: Market) -> None:
    earn(market, NANO_PER_CREDIT)
    payout = approve(market, ask(market))

    def end(number: int) -> str | None:
        try:
            if number % 2:
                return payouts.reject_payout(market.app.uow(), utc_now(), ADMIN, payout.id, "no").state
            return post(market, payout, f"sepa-{number}").state
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        ends = [state for state in pool.map(end, range(8)) if state]
    assert len(ends) == 1
    assert payouts.show_payout(market.app.uow(), payout.id, ADMIN).state == ends[0]
    assert_audited(market)


def test_a_payouts_hold_outlives_its_time_while_it_is_undecided(market: Market) -> None:
    earn(market, NANO_PER_CREDIT)
    payout = ask(market)
    assert holds.expire(market.app.uow(), in_seconds(YEARS_S)) == 0
    assert post(market, approve(market, payout)).state == "posted"


def test_a_request_with_a_key_is_made_once(market: Market) -> None:
    earn(market, 3 * NANO_PER_CREDIT)
    key = Idempotency("k", b"digest")

    def request(_: int) -> Payout:
        return payouts.request_payout(market.app.uow(), utc_now(), market.provider, NANO_PER_CREDIT, BANK, key)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(request, range(8)))
    assert len(set(made)) == 1
    assert payouts.list_payouts(market.app.uow(), None) == made[:1]
    with pytest.raises(Conflict) as refused:
        payouts.request_payout(
            market.app.uow(), utc_now(), market.provider, NANO_PER_CREDIT, BANK, replace(key, body_digest=b"other")
        )
    assert refused.value.code == "idempotency_key_reused"


def test_lists_and_references_have_limits(market: Market) -> None:
    for limit, state, field in ((0, None, "limit"), (501, None, "limit"), (1, "gone", "state")):
        with pytest.raises(Invalid) as refused:
            payouts.list_payouts(market.app.uow(), None, state, limit)
        assert refused.value.field == field
    with pytest.raises(Invalid) as unusable:
        payouts.post_payout(market.app.uow(), utc_now(), ADMIN, PayoutId(new_id()), "")
    assert unusable.value.field == "reference"


def test_a_payout_that_the_bank_sends_back_is_returned_and_may_be_asked_for_again(market: Market) -> None:
    earn(market, 3 * NANO_PER_CREDIT)
    payout = post(market, approve(market, ask(market, 2 * NANO_PER_CREDIT)))
    [moved] = [
        t for t in statements.list_transfers(market.app.uow(), None, 5) if t.transfer.kind is TransferKind.PAYOUT
    ]
    corrections.reverse(market.app.uow(), utc_now(), ADMIN, moved.transfer.id, "no such bank account")
    [shown] = payouts.list_payouts(market.app.uow(), market.provider.account_id)
    assert (shown.id, shown.state, shown.reason) == (payout.id, "returned", "no such bank account")
    assert shown.reference == payout.reference
    assert has(market, market.provider, AccountKind.EARNINGS) == 3 * NANO_PER_CREDIT
    with pytest.raises(Conflict) as refused:
        post(market, payout, "sepa-2")
    assert refused.value.code == "payout_returned"
    assert post(market, approve(market, ask(market, 2 * NANO_PER_CREDIT)), "sepa-3").state == "posted"
    assert_audited(market)
