"""Invoices: equal to the ledger to the nano, by kind of work, and cents that lose nothing."""

import random
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.billing import NANO_PER_CENT
from backend.domain.errors import Conflict, NotFound
from backend.domain.ids import TransferId
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.periods import days, month
from backend.services import deposits, invoice_run, invoicing
from backend.services.documents import show_document
from tests.integration.services.billing import assert_adds_up, billed, carried, credited, drafted, id_of, issued
from tests.integration.services.earning import ADMIN, assert_audited
from tests.integration.services.spending import (
    AFTER,
    DECEMBER,
    NOVEMBER,
    OCTOBER,
    at,
    moved,
    moved_late,
    reverse,
    spend,
    whole_time,
)
from tests.integration.services.spree import Spree
from tests.market import Market, Statements


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
def test_the_invoice_of_a_month_of_random_usage_equals_the_ledger_to_the_nano(market: Market, timezone: str) -> None:
    spree = Spree(market, 7, at(20, 9), at(20, 11))
    spree.orders(12)
    spree.sessions(4)
    spree.pooled(5)
    spree.usage(30)
    spree.corrections(25)
    spree.rate_anew()
    months = [month(f"2031-{number:02d}", timezone) for number in (9, 10, 11)]
    invoices = [billed(market, period) for period in months]
    for period, invoice in zip(months, invoices, strict=True):
        assert invoice.document.total_nano == moved(market, period) - moved_late(market, period)
    notes = [credited(market, invoice) for invoice in invoices[:2]]
    for note in notes:
        assert note.document.total_nano == sum(line.amount_nano for line in note.lines) < 0
    assert sum(note.document.total_nano for note in notes) == sum(moved_late(market, period) for period in months) < 0
    for bill in (*invoices, *notes):
        assert_adds_up(bill)
    documents = issued(market)
    assert sum(d.total_nano for d in documents) == moved(market, whole_time())
    assert sum(d.total_cents for d in documents) * NANO_PER_CENT + carried(market) == moved(market, whole_time())
    assert carried(market) == notes[-1].document.carried_out_nano
    kinds = {line.kind for bill in invoices for line in bill.lines}
    assert kinds == {"batch", "session", "requests", "usage", "correction", "refund", "sla_credit"}
    assert {line.transfer_id for note in notes for line in note.lines}.isdisjoint({None})
    assert_audited(market)


def test_a_month_ends_at_midnight_of_its_time_zone(market: Market) -> None:
    spend(market, at(31, hour=20), 5)
    spend(market, at(31, hour=23) + timedelta(minutes=59, seconds=59, microseconds=999_999), 11)
    spend(market, NOVEMBER.start, 17)
    east, west = month("2031-11", "Asia/Kolkata"), month("2031-10", "America/Los_Angeles")
    assert (east.start, west.end) == (at(31, hour=18) + timedelta(minutes=30), at(1, 11, hour=7))
    totals = []
    for period in (OCTOBER, NOVEMBER, east, west):
        bill = invoicing.preview(market.app.uow(), AFTER, market.buyer, market.buyer.account_id, period)
        totals.append(bill.document.total_nano)
    assert totals == [16, 17, 33, 33]


def test_an_account_that_changes_its_time_zone_is_billed_for_every_hour_once(market: Market) -> None:
    for hour in range(20, 24):
        spend(market, at(31, hour=hour), 1)
    spend(market, at(1, 11, hour=5), 10)
    spend(market, at(1, 12, hour=3), 100)
    first = billed(market, month("2031-10", "Europe/Berlin"))
    second = billed(market, month("2031-11", "America/New_York"))
    spend(market, at(5, 12), 1_000)
    third = billed(market, DECEMBER)
    assert [b.document.total_nano for b in (first, second, third)] == [3, 111, 1_000]
    assert first.document.period_end == second.document.period_start
    assert second.document.period_end == third.document.period_start


def test_trap_invoice_and_wallet_rounded_separately_a_cent_off(market: Market) -> None:
    """The trap: amounts of fractions of a cent, rounded on each of a year's bills, drift away from the wallet."""
    dice = random.Random(3)
    year = days(date(2031, 1, 1), date(2032, 1, 1), "UTC")
    cents = billed_nano = 0
    for number in range(1, 13):
        for day in range(1, dice.randint(2, 6)):
            spend(market, at(day, number), dice.choice([1, 4_999_999, 5_000_000, 5_000_001, 3_333_333, 14_999_999]))
        bill = billed(market, month(f"2031-{number:02d}", "UTC"))
        assert_adds_up(bill)
        cents += bill.document.total_cents
        billed_nano += bill.document.total_nano
        assert cents * NANO_PER_CENT + bill.document.carried_out_nano == billed_nano == moved(market, year)
        assert abs(cents * NANO_PER_CENT - billed_nano) <= NANO_PER_CENT // 2
    assert sum(d.total_cents for d in issued(market)) == cents
    assert carried(market) != 0  # or nothing was carried


def test_deposits_and_their_reversals_are_no_bills_business(market: Market) -> None:
    buyer = market.account("thrifty", NANO_PER_CREDIT)
    with market.app.engine.connect() as connection:
        deposit = connection.execute(
            text("SELECT id FROM transfers WHERE reference = 'payment for thrifty'")
        ).scalar_one()
    reverse(market, at(3), TransferId(deposit))
    assert drafted(market, OCTOBER, buyer).lines == ()
    assert moved(market, OCTOBER, buyer) == 0
    with pytest.raises(Conflict) as refused:
        billed(market, OCTOBER, buyer)
    assert refused.value.code == "nothing_to_bill"


def test_a_bill_takes_the_same_number_of_statements_for_any_number_of_transfers_and_accounts(market: Market) -> None:
    counts = []
    for month_of, size in ((10, 2), (11, 60)):
        for number in range(size):
            spend(market, at(1 + number % 28, month_of), 1_000 + number, fee_ppm=50_000)
        period = month(f"2031-{month_of}", "UTC")
        with Statements(market.app.engine) as statements:
            draft = drafted(market, period)
        drafting = statements.count
        with Statements(market.app.engine) as statements:
            invoicing.finalise(market.app.uow(), AFTER, ADMIN, id_of(draft))
        counts.append((drafting, statements.count))
    assert counts[0] == counts[1]
    runs = []
    for day, size in ((1, 2), (2, 30)):
        for number in range(size):
            spend(market, at(day, 12), 1_000, buyer=market.account(f"buyer-{day}-{number}", NANO_PER_CREDIT))
        with Statements(market.app.engine) as statements:
            period = days(at(day, 12).date(), at(day + 1, 12).date(), "UTC")
            assert invoice_run.finalise_all(market.app.uow(), AFTER, ADMIN, period).issued == size
        runs.append(statements.count)
    assert runs[0] == runs[1]


def test_work_is_billed_by_kind_tier_and_model_with_the_seconds_that_it_took(market: Market) -> None:
    spree = Spree(market, 11, at(5), at(9))
    spree.orders(6)
    spree.sessions(2)
    spree.pooled(3)
    spree.usage(10)
    spree.rate_anew()
    bill = billed(market)
    work = [line for line in bill.lines if line.kind in ("batch", "session", "requests")]
    assert {(line.kind, line.tier, line.unit) for line in work} == {
        ("batch", "small", "slot-seconds"),
        ("batch", "medium", "slot-seconds"),
        ("session", "medium", "slot-seconds"),
        ("requests", "small", "slot-seconds"),
    }
    assert {line.description for line in work} == {
        "Batch with doubling",
        "Session with doubling",
        "Requests with doubling",
    }
    with market.app.engine.connect() as connection:
        batches = connection.execute(text("SELECT sum(billed_us) FROM work_items WHERE state = 'settled'")).scalar_one()
        pooled = connection.execute(text("SELECT sum(busy_us) FROM pooled_uses")).scalar_one()
        metered = connection.execute(
            text("SELECT meter, sum(quantity_micro)::bigint FROM usage_events GROUP BY meter ORDER BY meter")
        ).all()
    assert sum(line.quantity_micro or 0 for line in work if line.kind == "batch") == batches
    assert [line.quantity_micro for line in work if line.kind == "requests"] == [pooled]
    usage = [(line.description, line.unit, line.quantity_micro) for line in bill.lines if line.kind == "usage"]
    units = {"egress": "GB", "storage": "GB-hours"}
    assert usage == [(f"Metered usage: {meter}", units[meter], quantity) for meter, quantity in metered]
    rated_anew = [line.description for line in bill.lines if line.kind == "correction"]
    assert rated_anew == ["Corrections: egress"]


def test_seconds_of_an_order_that_two_periods_share_are_not_made_up(market: Market) -> None:
    spree = Spree(market, 5, at(31, hour=10), at(1, 11, hour=14))
    spree.orders(8)
    lines = [line for period in (OCTOBER, NOVEMBER) for line in billed(market, period).lines if line.kind == "batch"]
    shared = [line for line in lines if line.description.endswith("in orders that another period shares")]
    assert {line.unit for line in shared} == {"charges"}
    assert {line.unit for line in lines if line not in shared} == {"slot-seconds"}
    assert len(shared) >= 2


def test_what_members_spend_is_on_the_one_bill_of_their_organisation(market: Market) -> None:
    shared, owner, ann, bob = market.organisation("lab", "ann", "bob")
    deposits.deposit(market.app.uow(), utc_now(), shared, NANO_PER_CREDIT, "payment for the lab")
    spend(market, at(3), 1_000, buyer=ann)
    spend(market, at(4), 200, buyer=bob)
    bill = billed(market, OCTOBER, ann)
    assert (bill.account_name, bill.document.account_id, bill.document.total_nano) == ("lab", shared, 1_200)
    assert [show_document(market.app.uow(), id_of(bill), member) for member in (ann, bob)] == [bill, bill]
    assert ann.member_id is not None
    for person in (replace(ann, account_id=ann.member_id, member_id=None), owner):
        with pytest.raises(NotFound):
            show_document(market.app.uow(), id_of(bill), person)
        with pytest.raises(Conflict) as refused:
            billed(market, OCTOBER, person)
        assert refused.value.code == "nothing_to_bill"
