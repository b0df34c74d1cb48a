"""Usage on invoices: in the period that it was charged in, so that what is final stays as it is."""

from datetime import datetime

from backend.domain.billing import DocumentState
from backend.domain.ids import DocumentId
from backend.domain.periods import Period
from backend.services import invoicing, meters
from backend.services.credit_notes import credit_note
from backend.services.documents import Bill, show_document
from tests.integration.services.earning import assert_audited
from tests.integration.services.spending import AFTER, NOVEMBER, OCTOBER, at
from tests.integration.services.usage import METER, OPERATOR, PRICE, add_meter, event, send
from tests.market import Market


def billed(market: Market, period: Period, now: datetime = AFTER) -> Bill:
    """The issued invoice of the buyer's period."""
    drafted = invoicing.draft(market.app.uow(), now, OPERATOR, market.buyer.account_id, period)
    return invoicing.finalise(market.app.uow(), now, OPERATOR, id_of(drafted))


def id_of(bill: Bill) -> DocumentId:
    assert bill.document.id
    return bill.document.id


def lines(bill: Bill) -> list[tuple[str, int]]:
    return [(line.kind, line.amount_nano) for line in bill.lines]


def test_usage_that_is_reported_after_its_period_was_billed_is_on_the_next_invoice(market: Market) -> None:
    add_meter(market)
    send(market, event(1, time=at(20).isoformat()), now=at(20))
    october = billed(market, OCTOBER, at(2, 11))
    assert (october.document.state, lines(october)) == (DocumentState.FINAL, [("usage", 2 * PRICE)])
    send(market, event(2, "5", time=at(31).isoformat()), now=at(3, 11))
    assert lines(billed(market, NOVEMBER)) == [("usage", 5 * PRICE)]
    assert show_document(market.app.uow(), id_of(october), OPERATOR) == october
    assert_audited(market)


def test_usage_that_is_rated_anew_after_its_period_was_billed_is_credited_and_billed_anew(market: Market) -> None:
    add_meter(market)
    send(market, event(1, time=at(20).isoformat()), now=at(20))
    october = billed(market, OCTOBER, at(2, 11))
    meters.set_price(market.app.uow(), at(3, 11), OPERATOR, METER, 3 * PRICE, at(1))
    november = billed(market, NOVEMBER)
    assert lines(november) == [("correction", 6 * PRICE)]
    note = credit_note(market.app.uow(), AFTER, OPERATOR, id_of(october))
    assert lines(note) == [("reversal", -2 * PRICE)]
    assert sum(bill.document.total_nano for bill in (october, november, note)) == 6 * PRICE
    assert_audited(market)
