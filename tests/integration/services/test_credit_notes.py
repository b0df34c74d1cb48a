"""Credit notes: what was taken back of a final invoice, once."""

import pytest

from backend.domain.billing import DocumentState
from backend.domain.errors import Conflict
from backend.services import invoice_run
from backend.services.documents import Bill
from tests.integration.services.billing import (
    amounts,
    assert_adds_up,
    billed,
    credited,
    id_of,
    issued,
    together,
    voided,
)
from tests.integration.services.earning import ADMIN, logged
from tests.integration.services.spending import AFTER, NOVEMBER, OCTOBER, at, moved, reverse, spend, whole_time
from tests.market import Market


def test_a_charge_reversed_in_a_later_month_is_credited_and_left_out_of_the_later_invoice(market: Market) -> None:
    fee, charge = reversed(spend(market, at(3), 1_000, fee_ppm=100_000))
    [kept, _] = spend(market, at(4), 50, fee_ppm=100_000)
    october = billed(market)
    assert (october.document.total_nano, october.document.state) == (1_050, DocumentState.FINAL)
    spend(market, at(2, 11), 30)
    undone = reverse(market, at(3, 11), charge)
    reverse(market, at(3, 11), fee)
    november = billed(market, NOVEMBER)
    assert amounts(november) == [("other", 30)]
    note = credited(market, october)
    assert (note.document.number, note.document.credits_id, note.credits_number) == (
        "CRN-2032-000001",
        id_of(october),
        october.document.number,
    )
    assert sorted(amounts(note)) == [("reversal", -900), ("reversal", -100)]
    assert f"transfer {charge} reversed by {undone}" in " ".join(line.description for line in note.lines)
    assert_adds_up(note)
    with pytest.raises(Conflict) as refused:
        credited(market, october)
    assert refused.value.code == "nothing_to_credit"
    reverse(market, at(4, 12), kept)
    assert credited(market, october).document.total_nano == -45
    assert sum(d.total_nano for d in issued(market)) == moved(market, whole_time()) == 35
    assert logged(market, "credit_note") == ["credit_note.issue"] * 2


def test_a_reversal_within_its_own_month_is_a_line_of_that_invoice(market: Market) -> None:
    [charge] = spend(market, at(3), 1_000)
    reverse(market, at(5), charge)
    bill = billed(market)
    assert amounts(bill) == [("other", 1_000), ("correction", -1_000)]
    assert bill.document.total_nano == 0
    with pytest.raises(Conflict, match="nothing of INV-2032-000001 was reversed"):
        credited(market, bill)


def test_a_reversal_that_an_invoice_took_in_before_its_month_was_billed_is_not_credited_again(market: Market) -> None:
    [charge] = spend(market, at(3), 1_000)
    undone = reverse(market, at(3, 11), charge)
    november = billed(market, NOVEMBER)
    assert [(line.kind, line.amount_nano, line.transfer_id) for line in november.lines] == [
        ("reversal", -1_000, undone)
    ]
    october = billed(market)
    with pytest.raises(Conflict) as refused:
        credited(market, october)
    assert refused.value.code == "nothing_to_credit"
    voided(market, november)  # then it is free again, and October's charge is on an issued invoice
    assert credited(market, october).document.total_nano == -1_000
    with pytest.raises(Conflict) as empty:
        billed(market, NOVEMBER)
    assert empty.value.code == "nothing_to_bill"
    assert sum(d.total_nano for d in issued(market)) == 0


def test_an_invoice_with_credit_notes_is_void_only_after_them(market: Market) -> None:
    [charge] = spend(market, at(3), 1_000)
    october = billed(market)
    reverse(market, at(3, 11), charge)
    note = credited(market, october)
    with pytest.raises(Conflict, match="CRN-2032-000001") as refused:
        voided(market, october)
    assert refused.value.code == "has_credit_notes"
    voided(market, note)
    with pytest.raises(Conflict, match="credit note is void"):
        credited(market, note)
    voided(market, october)
    with pytest.raises(Conflict, match="invoice is void"):
        credited(market, october)
    anew = billed(market)
    assert credited(market, anew).lines[0].transfer_id is not None
    assert sum(d.total_nano for d in issued(market)) == 0


def test_a_run_names_the_invoices_that_want_a_credit_note(market: Market) -> None:
    """Otherwise nobody would know: what was reversed is on none of the new invoices."""
    [first], [second], [third] = (spend(market, at(day), 1_000) for day in (3, 4, 5))
    reverse(market, at(6), third)
    october = billed(market)
    assert invoice_run.finalise_all(market.app.uow(), AFTER, ADMIN, NOVEMBER).to_credit == ()
    reverse(market, at(3, 11), first)
    for _ in range(2):
        run = invoice_run.finalise_all(market.app.uow(), AFTER, ADMIN, NOVEMBER)
        assert run.to_credit == ("INV-2032-000001",)
    note = credited(market, october)
    assert invoice_run.finalise_all(market.app.uow(), AFTER, ADMIN, NOVEMBER).to_credit == ()
    voided(market, note)
    reverse(market, at(3, 12), second)
    assert invoice_run.finalise_all(market.app.uow(), AFTER, ADMIN, OCTOBER).to_credit == ("INV-2032-000001",)
    assert credited(market, october).document.total_nano == -2_000


def test_crediting_by_8_threads_at_once_credits_a_reversal_once(market: Market) -> None:
    [charge] = spend(market, at(3), 1_000)
    october = billed(market)
    reverse(market, at(3, 11), charge)
    results = together(8, lambda _: credited(market, october))
    [note] = [result for result in results if isinstance(result, Bill)]
    assert (note.document.number, note.document.total_nano) == ("CRN-2032-000001", -1_000)
    assert [result.code for result in results if isinstance(result, Conflict)] == ["nothing_to_credit"] * 7
