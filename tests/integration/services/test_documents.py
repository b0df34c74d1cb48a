"""Documents once they are issued: paid or void, once, and seen by whom they are for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from backend.domain.access import Role
from backend.domain.billing import NANO_PER_CENT, DocumentState
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound
from backend.domain.periods import days
from backend.services import invoice_run, invoicing
from backend.services.credit_notes import credit_note
from backend.services.documents import Bill, list_documents, pay, show_document, void
from tests.integration.services.billing import billed, drafted, id_of, issued, together, voided
from tests.integration.services.earning import ADMIN, logged
from tests.integration.services.spending import AFTER, NOVEMBER, OCTOBER, at, moved, spend, whole_time
from tests.market import Market


def test_a_void_invoice_is_issued_anew_under_another_number_and_cents_stay_right(market: Market) -> None:
    for day, nano in ((3, 4_000_000), (4, 4_000_000), (5, 4_000_000)):
        spend(market, at(day), nano)
    one, two, three = (billed(market, days(at(d).date(), at(d + 1).date(), "UTC")) for d in (3, 4, 5))
    assert [b.document.total_cents for b in (one, two, three)] == [0, 1, 0]
    gone = voided(market, two)
    assert (gone.document.state, gone.document.reason) == (DocumentState.VOID, "wrong address")
    assert voided(market, two) == gone
    anew = billed(market, days(at(4).date(), at(5).date(), "UTC"))
    assert (anew.document.number, anew.document.total_nano) == ("INV-2032-000004", 4_000_000)
    documents = issued(market)
    assert [d.number for d in documents] == ["INV-2032-000001", "INV-2032-000003", "INV-2032-000004"]
    cents = sum(d.total_cents for d in documents) * NANO_PER_CENT
    assert cents + anew.document.carried_out_nano == moved(market, whole_time()) == 12_000_000
    with pytest.raises(Conflict, match="is void"):
        invoicing.finalise(market.app.uow(), AFTER, ADMIN, id_of(two))
    assert logged(market, "invoice").count("invoice.void") == 1


def test_a_document_is_paid_once_under_one_reference(market: Market) -> None:
    spend(market, at(3), 1_000)
    draft = drafted(market)
    with pytest.raises(Conflict) as refused:
        pay(market.app.uow(), AFTER, ADMIN, id_of(draft), "bank-1")
    assert refused.value.code == "document_closed"
    billed(market)
    paid = pay(market.app.uow(), AFTER, ADMIN, id_of(draft), "bank-1")
    assert (paid.document.state, paid.document.reference, paid.document.closed_at) == (
        DocumentState.PAID,
        "bank-1",
        AFTER,
    )
    assert pay(market.app.uow(), AFTER + timedelta(days=1), ADMIN, id_of(draft), "bank-1") == paid
    with pytest.raises(Conflict, match="INV-2032-000001 is paid"):
        pay(market.app.uow(), AFTER, ADMIN, id_of(draft), "bank-2")
    with pytest.raises(Conflict, match="INV-2032-000001 is paid"):
        voided(market, paid)
    with pytest.raises(Invalid) as nameless:
        pay(market.app.uow(), AFTER, ADMIN, id_of(draft), "")
    assert nameless.value.field == "reference"


def test_only_admins_bill_and_an_account_sees_its_own_documents_alone(market: Market) -> None:
    spend(market, at(3), 1_000)
    bill = billed(market)
    stranger = market.account("stranger")
    assert show_document(market.app.uow(), id_of(bill), market.buyer) == bill
    with pytest.raises(NotFound):
        show_document(market.app.uow(), id_of(bill), stranger)
    with pytest.raises(NotFound):
        invoicing.preview(market.app.uow(), AFTER, stranger, market.buyer.account_id, OCTOBER)
    buyer = replace(market.buyer, role=Role.PROVIDER)
    for refused in (
        lambda: invoicing.draft(market.app.uow(), AFTER, buyer, buyer.account_id, NOVEMBER),
        lambda: invoicing.finalise(market.app.uow(), AFTER, buyer, id_of(bill)),
        lambda: invoice_run.finalise_all(market.app.uow(), AFTER, buyer, NOVEMBER),
        lambda: pay(market.app.uow(), AFTER, buyer, id_of(bill), "mine"),
        lambda: void(market.app.uow(), AFTER, buyer, id_of(bill), "too dear"),
        lambda: credit_note(market.app.uow(), AFTER, buyer, id_of(bill)),
    ):
        with pytest.raises(Forbidden):
            refused()
    assert logged(market, "invoice") == ["invoice.draft", "invoice.finalise"]


def test_a_period_to_come_or_an_unknown_account_is_not_drafted(market: Market) -> None:
    with pytest.raises(Conflict) as refused:
        invoicing.draft(market.app.uow(), at(3, 9), ADMIN, market.buyer.account_id, OCTOBER)
    assert refused.value.code == "period_not_begun"
    with pytest.raises(NotFound):
        invoicing.draft(market.app.uow(), AFTER, ADMIN, ADMIN.account_id, OCTOBER)


def test_documents_are_listed_by_words_that_there_are(market: Market) -> None:
    for field, kind, state, limit in (("kind", "bill", None, 1), ("state", None, "lost", 1), ("limit", None, None, 0)):
        with pytest.raises(Invalid) as wrong:
            list_documents(market.app.uow(), None, kind, state, limit)
        assert wrong.value.field == field


def test_paying_and_voiding_by_8_threads_leaves_one_of_the_two(market: Market) -> None:
    spend(market, at(3), 1_000)
    id = id_of(billed(market))

    def close(number: int) -> Bill:
        if number % 2:
            return pay(market.app.uow(), AFTER, ADMIN, id, "bank-1")
        return void(market.app.uow(), AFTER, ADMIN, id, "wrong address")

    results = together(8, close)
    [closed] = {result.document for result in results if isinstance(result, Bill)}
    assert [result.code for result in results if isinstance(result, Conflict)] == ["document_closed"] * 4
    assert logged(market, "invoice")[2:] == [{"paid": "invoice.pay", "void": "invoice.void"}[closed.state]]
