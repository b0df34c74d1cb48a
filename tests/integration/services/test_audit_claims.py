"""The audit compares bills, payouts, disputes and usage with the ledger: what was changed in them by hand is found."""

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.ids import DocumentId
from backend.domain.ledger import AccountKind
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.periods import Period
from backend.services import audit, corrections, credit_notes, disputes, invoicing, payouts, rating
from tests.integration.services.earning import ADMIN, earn, fill_fund, has, ran, ran_again
from tests.integration.services.spending import AFTER, NOVEMBER, OCTOBER, at, reverse, spend
from tests.integration.services.usage import OPERATOR, add_meter, event, pay_out, send, usage
from tests.market import Market

STATES = ("requested", "approved", "posted", "returned", "rejected", "cancelled")


@pytest.fixture
def claiming(market: Market) -> Market:
    """A market with documents, disputes and payouts in every state, and with usage that was given back."""
    bill(market)
    contest(market)
    earn(market, len(STATES) * NANO_PER_CREDIT)
    for state in STATES:
        ask_for_payout(market, state)
    meter(market)
    assert audit.audit_ledger(market.app.uow(), exact=True).differences == ()
    assert audit.audit_ledger(market.app.uow()).differences == ()
    return market


def bill(market: Market) -> None:
    """October is billed with a reversal of its own, and credited; November takes in what was not billed before."""
    fee, charge = reversed(spend(market, at(3), 1_000, fee_ppm=100_000))
    reverse(market, at(4), fee)
    [early] = spend(market, at(5, 9), 70)
    reverse(market, at(6), early)
    october = issue(market, OCTOBER)
    reverse(market, at(3, 11), charge)
    spend(market, at(4, 11), 30)
    issue(market, NOVEMBER)
    credit_notes.credit_note(market.app.uow(), AFTER, ADMIN, october)


def issue(market: Market, period: Period) -> DocumentId:
    """The invoice of a period."""
    draft = invoicing.draft(market.app.uow(), AFTER, ADMIN, market.buyer.account_id, period)
    assert draft.document.id
    invoicing.finalise(market.app.uow(), AFTER, ADMIN, draft.document.id)
    return draft.document.id


def contest(market: Market) -> None:
    """One dispute is rejected, one upheld in part, one open."""
    for number in range(3):
        order = ran_again(market) if number else ran(market)
        dispute = disputes.open_dispute(market.app.uow(), utc_now(), market.buyer, order.id, "all zeros")
        if number == 0:
            disputes.reject(market.app.uow(), utc_now(), ADMIN, dispute.id, "it ran")
        if number == 1:
            disputes.uphold(market.app.uow(), utc_now(), ADMIN, dispute.id, "it did not", 10)


def ask_for_payout(market: Market, state: str) -> None:
    """A payout of a credit that is in that state at last."""
    uow, now, provider = market.app.uow(), utc_now(), market.provider
    payout = payouts.request_payout(uow, now, provider, NANO_PER_CREDIT, "DE02")
    if state in ("approved", "posted", "returned"):
        payouts.approve_payout(uow, now, ADMIN, payout.id)
    if state in ("posted", "returned"):
        payouts.post_payout(uow, now, ADMIN, payout.id, state)
    if state == "returned":
        with uow:
            paid = uow.ledger.transfer_with_reference(state)
        assert paid
        corrections.reverse(uow, now, ADMIN, paid.id, "no such account")
    if state == "rejected":
        payouts.reject_payout(uow, now, ADMIN, payout.id, "no such bank")
    if state == "cancelled":
        payouts.cancel_payout(uow, now, provider, payout.id)
    assert payouts.show_payout(uow, payout.id, provider).state == state


def meter(market: Market) -> None:
    """Usage that is charged, was taken back, and was paid back by the credits fund."""
    fill_fund(market, NANO_PER_CREDIT)
    add_meter(market, pays=market.provider)
    for number in range(3):
        send(market, event(number))
    _, voided, refunded = usage(market)
    rating.take_back(market.app.uow(), utc_now(), OPERATOR, voided.id, "twice")
    pay_out(market, has(market, market.provider, AccountKind.EARNINGS))
    rating.take_back(market.app.uow(), utc_now(), OPERATOR, refunded.id, "twice", from_fund=True)


OF_POSTED = " WHERE id = (SELECT hold_id FROM payouts WHERE state = 'posted')"
INVOICE = "kind = 'invoice' AND number LIKE '%1'"
OF_INVOICE = f"document_id = (SELECT id FROM documents WHERE {INVOICE})"
PAID, DISPUTED, USED = {"payout paid"}, {"dispute settled"}, {"usage charged"}
TAMPERING: list[tuple[set[str], tuple[str, ...]]] = [
    ({"document lines"}, (f"UPDATE document_lines SET amount_nano = amount_nano + 1 WHERE seq = 1 AND {OF_INVOICE}",)),
    ({"document lines"}, (f"UPDATE document_lines SET cents = cents - 1 WHERE seq = 1 AND {OF_INVOICE}",)),
    ({"document lines"}, (f"DELETE FROM document_lines WHERE seq = 1 AND {OF_INVOICE}",)),
    (
        {"document billed"},
        (
            f"UPDATE document_lines SET amount_nano = amount_nano + 1 WHERE seq = 1 AND {OF_INVOICE}",
            f"UPDATE documents SET total_nano = total_nano + 1, carried_out_nano = carried_out_nano + 1"
            f" WHERE {INVOICE}",
        ),
    ),
    ({"document billed"}, ("UPDATE document_lines SET transfer_id = NULL WHERE transfer_id IS NOT NULL",)),
    (
        {"document billed"},
        ("UPDATE transfers SET created_at = created_at + interval '90 days' WHERE amount_nano = 30",),
    ),
    ({"document billed"}, ("UPDATE documents SET period_start = period_start + interval '5 days' WHERE " + INVOICE,)),
    *((PAID, (f"UPDATE payouts SET amount_nano = amount_nano + 1 WHERE state = '{state}'",)) for state in STATES),
    (PAID, ("UPDATE payouts SET state = 'posted', reference = 'another' WHERE state = 'approved'",)),
    (PAID, ("UPDATE payouts SET state = 'posted' WHERE state = 'returned'",)),
    (PAID, ("UPDATE payouts SET state = 'returned' WHERE state = 'posted'",)),
    (PAID, ("UPDATE payouts SET state = 'rejected' WHERE state = 'requested'",)),
    (PAID, ("UPDATE payouts SET state = 'requested' WHERE state = 'cancelled'",)),
    (PAID, ("UPDATE payouts SET reference = 'another' WHERE state = 'posted'",)),
    (PAID, ("UPDATE payouts SET account_id = (SELECT id FROM accounts WHERE name = 'buyer') WHERE state = 'posted'",)),
    (PAID, ("DELETE FROM payouts WHERE state = 'posted'",)),
    *(
        (DISPUTED, (f"UPDATE disputes SET withheld_nano = withheld_nano + 1 WHERE state = '{state}'",))
        for state in ("open", "upheld", "rejected")
    ),
    (DISPUTED, ("UPDATE disputes SET refunded_nano = refunded_nano + 1 WHERE state = 'upheld'",)),
    (DISPUTED, ("UPDATE disputes SET state = 'rejected', resolved_at = now() WHERE state = 'open'",)),
    (USED, ("UPDATE usage_events SET amount_nano = amount_nano + 1 WHERE state = 'charged'",)),
    (USED, ("UPDATE usage_events SET state = 'void' WHERE state = 'charged'",)),
    (USED, ("UPDATE usage_events SET state = 'unpaid', transfer_id = NULL WHERE state = 'charged'",)),
    (USED, ("UPDATE usage_events SET state = 'charged' WHERE event_id = 'event-1'",)),
    (
        {"hold resolved"},
        (
            "ALTER TABLE holds DROP CONSTRAINT ck_holds_not_exceeded,"
            " DROP CONSTRAINT ck_holds_pending_while_something_left",
            f"UPDATE holds SET released_nano = released_nano + 1{OF_POSTED}",
        ),
    ),
    (
        {"hold resolved"},
        (
            "ALTER TABLE holds DROP CONSTRAINT ck_holds_pending_while_something_left",
            f"UPDATE holds SET state = 'pending'{OF_POSTED}",
        ),
    ),
]


def found(market: Market, statements: tuple[str, ...]) -> list[set[str]]:
    """What a quick and an exact audit find after these changes, which are rolled back.

    The tables' owner makes them, who may also switch the triggers off that refuse it.
    """
    with market.app.uow() as uow:
        for statement in ("ALTER TABLE transfers DISABLE TRIGGER USER", *statements):
            assert uow.connection.execute(text(statement)).rowcount != 0, statement
        reports = [audit.examine(uow, exact=exact) for exact in (False, True)]
    assert all(audit.meaning(difference) for report in reports for difference in report.differences)
    return [{difference.what for difference in report.differences} for report in reports]


def test_every_claim_that_was_changed_by_hand_is_found(claiming: Market, subtests: pytest.Subtests) -> None:
    for what, statements in TAMPERING:
        with subtests.test(statements[-1]):
            assert found(claiming, statements) == [what, what]


def test_claims_are_audited_with_the_account_that_they_are_of(claiming: Market) -> None:
    with claiming.app.uow() as uow:
        for statement in (
            "UPDATE document_lines SET cents = cents + 1 WHERE seq = 1",
            "UPDATE documents SET period_end = period_start + interval '1 day' WHERE kind = 'invoice'",
            "UPDATE disputes SET withheld_nano = withheld_nano + 1",
            "UPDATE usage_events SET amount_nano = amount_nano + 1 WHERE state = 'charged'",
            "UPDATE payouts SET amount_nano = amount_nano + 1",
        ):
            uow.connection.execute(text(statement))
        told = {
            name: {difference.what for difference in audit.examine(uow, account=principal.account_id).differences}
            for name, principal in (("buyer", claiming.buyer), ("provider", claiming.provider))
        }
    assert told == {
        "buyer": {"document lines", "document billed", "dispute settled", "usage charged"},
        "provider": {"payout paid"},
    }
