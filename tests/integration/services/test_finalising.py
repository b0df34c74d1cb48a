"""Documents from draft to final, paid or void: each period billed once, under numbers without gaps."""

from datetime import timedelta

import pytest

from backend.domain.billing import FINAL_GRACE
from backend.domain.errors import Conflict, NotFound
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.periods import days
from backend.services import invoice_run, invoicing
from backend.services.documents import Bill, list_documents, show_document
from tests.integration.services.billing import billed, drafted, id_of, issued, together
from tests.integration.services.earning import ADMIN, logged
from tests.integration.services.spending import AFTER, NOVEMBER, OCTOBER, at, spend
from tests.market import Market


def test_finalising_a_period_by_8_threads_gives_one_document_and_no_gap_in_the_numbers(market: Market) -> None:
    spend(market, at(3), 7)
    id = id_of(drafted(market))
    bills = together(8, lambda _: invoicing.finalise(market.app.uow(), AFTER, ADMIN, id))
    assert {bill.document.number for bill in bills if isinstance(bill, Bill)} == {"INV-2032-000001"}
    assert logged(market, "invoice") == ["invoice.draft", "invoice.finalise"]
    spend(market, at(3, 11), 7)
    assert billed(market, NOVEMBER).document.number == "INV-2032-000002"


def test_8_threads_that_finalise_8_documents_number_them_without_a_gap(market: Market) -> None:
    buyers = [market.account(f"buyer-{number}", NANO_PER_CREDIT) for number in range(8)]
    drafts = [id_of(drafted(market, OCTOBER, buyer)) for buyer in buyers]
    for buyer in buyers[2:]:
        spend(market, at(3), 7, buyer=buyer)
    results = together(8, lambda number: invoicing.finalise(market.app.uow(), AFTER, ADMIN, drafts[number]))
    assert [result.code for result in results if isinstance(result, Conflict)] == ["nothing_to_bill"] * 2
    numbers = sorted(str(bill.document.number) for bill in results if isinstance(bill, Bill))
    assert numbers == [f"INV-2032-{number:06d}" for number in range(1, 7)]


def test_drafting_and_finalising_by_8_threads_at_once_bills_a_period_once(market: Market) -> None:
    buyers = [market.account(f"buyer-{number}", NANO_PER_CREDIT) for number in range(8)]
    for buyer in buyers:
        spend(market, at(3), 10**7 + 1, buyer=buyer)

    def bill(number: int) -> Bill:
        invoice_run.finalise_all(market.app.uow(), AFTER, ADMIN, OCTOBER)
        return billed(market, OCTOBER, buyers[number])

    refused = {result.code for result in together(8, bill) if isinstance(result, Conflict)}
    assert refused == {"period_billed"}  # the run was first, whoever's
    found = [document for buyer in buyers for document in issued(market, buyer)]
    assert sorted(str(document.number) for document in found) == [f"INV-2032-{n:06d}" for n in range(1, 9)]
    assert [document.total_cents for document in found] == [1] * 8


def test_a_number_that_was_not_used_in_the_end_is_given_to_the_next(market: Market) -> None:
    with market.app.uow() as uow:
        assert uow.documents.next_numbers("INV-2032", 3) == 1
    spend(market, at(3), 7)
    assert billed(market).document.number == "INV-2032-000001"


def test_a_period_is_final_only_when_the_last_transaction_of_it_must_be_over(market: Market) -> None:
    spend(market, at(3), 7)
    id = id_of(drafted(market))
    early = OCTOBER.end + FINAL_GRACE - timedelta.resolution
    for run in (
        lambda: invoicing.finalise(market.app.uow(), early, ADMIN, id),
        lambda: invoice_run.finalise_all(market.app.uow(), early, ADMIN, OCTOBER),
    ):
        with pytest.raises(Conflict) as refused:
            run()
        assert (refused.value.code, refused.value.accepted) == (
            "period_not_over",
            "from 2031-11-01T00:05:00+00:00 on",
        )
    assert invoicing.finalise(market.app.uow(), OCTOBER.end + FINAL_GRACE, ADMIN, id).document.number == (
        "INV-2031-000001"
    )


def test_a_draft_is_brought_up_to_date_and_replaces_drafts_that_it_overlaps(market: Market) -> None:
    spend(market, at(3), 7)
    first = drafted(market)
    spend(market, at(4), 8)
    half = drafted(market, days(at(4).date(), at(20).date(), "UTC"))
    assert (first.document.total_nano, half.document.total_nano) == (7, 8)
    again, same = drafted(market), drafted(market)
    assert (again.document.total_nano, id_of(again), again.document.created_at) == (15, id_of(same), AFTER)
    assert [d.id for d in list_documents(market.app.uow(), None)] == [id_of(same)]
    with pytest.raises(NotFound):
        show_document(market.app.uow(), id_of(half), ADMIN)
    assert show_document(market.app.uow(), id_of(same), market.buyer) == same


def test_finalising_twice_is_once_and_takes_in_what_came_since_the_draft(market: Market) -> None:
    spend(market, at(3), 7)
    draft = drafted(market)
    spend(market, at(4), 8)
    once = invoicing.finalise(market.app.uow(), AFTER, ADMIN, id_of(draft))
    twice = invoicing.finalise(market.app.uow(), AFTER + timedelta(days=9), ADMIN, id_of(draft))
    assert once == twice
    assert (once.document.total_nano, once.document.finalised_at) == (15, AFTER)
    assert logged(market, "invoice") == ["invoice.draft", "invoice.finalise"]


def test_a_billed_period_cannot_be_billed_again_in_whole_or_in_part(market: Market) -> None:
    spend(market, at(3), 7)
    billed(market)
    for period in (OCTOBER, days(at(31).date(), at(31).date() + timedelta(days=9), "UTC")):
        with pytest.raises(Conflict) as refused:
            drafted(market, period)
        assert (refused.value.code, refused.value.field) == ("period_billed", "period")
        assert "INV-2032-000001" in refused.value.message


def test_a_run_bills_everybody_once_in_batches_and_may_be_repeated(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoice_run, "RUN_ACCOUNTS_MAX", 3)
    buyers = [market.account(f"buyer-{number}", NANO_PER_CREDIT) for number in range(7)]
    for number, buyer in enumerate(buyers):
        spend(market, at(3), 10**7 * (number + 1), buyer=buyer)
    spend(market, at(3, 11), 5, buyer=buyers[0])
    drafted(market, OCTOBER, buyers[2])
    billed(market, OCTOBER, buyers[1])
    told: list[invoice_run.Run] = []
    run = invoice_run.finalise_all(market.app.uow(), AFTER, ADMIN, OCTOBER, told.append)
    assert (run.accounts, run.done, run.issued, run.total_cents, run.total_nano) == (7, 7, 6, 26, 26 * 10**7)
    assert [step.done for step in told] == [3, 6, 7]
    again = invoice_run.finalise_all(market.app.uow(), AFTER, ADMIN, OCTOBER)
    assert (again.accounts, again.issued, again.total_nano) == (7, 0, 0)
    found = [issued(market, buyer) for buyer in buyers]
    assert [len(documents) for documents in found] == [1] * 7
    assert {documents[0].number for documents in found} == {f"INV-2032-{n:06d}" for n in range(1, 8)}
    assert len(list_documents(market.app.uow(), None, state="draft")) == 0
    assert logged(market, "invoice").count("invoice.run") == 3
