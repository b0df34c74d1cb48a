"""Bills as files: they load as what they are, whatever anybody was called, and add up."""

import csv
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO
from uuid import UUID

from backend.domain.billing import Document, DocumentKind, DocumentState, Line
from backend.domain.ids import AccountId, DocumentId
from backend.services.bill_pages import CSV_COLUMNS, csv_of, facts_of, file_name, heading_of, html_of
from backend.services.documents import Bill

EVIL = "<script>alert('1')</script>&\"$amount\""
ISSUED = datetime(2026, 11, 1, 5, tzinfo=UTC)
INVOICE = Document(
    id=DocumentId(UUID(int=2)),
    account_id=AccountId(UUID(int=1)),
    kind=DocumentKind.INVOICE,
    number="INV-2026-000001",
    period_start=datetime(2026, 9, 30, 22, tzinfo=UTC),
    period_end=datetime(2026, 10, 31, 23, tzinfo=UTC),
    timezone="Europe/Berlin",
    state=DocumentState.FINAL,
    credits_id=None,
    total_nano=1_234_567_890,
    carried_in_nano=1_000_000,
    total_cents=124,
    carried_out_nano=-4_432_110,
    reason=None,
    reference=None,
    created_at=ISSUED,
    finalised_at=ISSUED,
)
LINES = (
    Line(1, "batch", "small", "Batch with digits", 1_500_000, "slot-seconds", 1_234_567_893, 124),
    Line(2, "usage", None, "Metered usage: egress", 1_000_000, "GB", 7, 0),
    Line(3, "correction", None, "Corrections: egress", None, None, -10, 0),
)
BILL = Bill(INVOICE, LINES, "acme")


class Page(HTMLParser):
    """The tags of a page, and its text without style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_the_page_has_the_lines_and_how_they_make_the_amount() -> None:
    words = Page(html_of(BILL)).words
    assert ("Invoice INV-2026-000001" in words, "final" in words) == (True, True)
    for number, cells in enumerate(
        (
            ["1", "Batch with digits", "small", "1.5 slot-seconds", "1.234567893", "1.24"],
            ["2", "Metered usage: egress", "1 GB", "0.000000007", "0.00"],
            ["3", "Corrections: egress", "-0.000000010", "0.00"],
        )
    ):
        start = words.index(str(number + 1))
        assert [word for word in words[start:] if word][: len(cells)] == cells
    for name, figure in (
        ("Total of the lines", "1.234567890"),
        ("Carried in from earlier documents", "0.001000000"),
        ("Carried out to the next document", "-0.004432110"),
        ("Amount", "1.24"),
    ):
        assert words[words.index(name) + 1] == figure


def test_names_are_words_on_the_page_and_never_tags_of_it() -> None:
    plain = Page(html_of(BILL)).tags
    lines = tuple(replace(line, description=EVIL, tier=EVIL, unit=EVIL, quantity_micro=5) for line in LINES)
    paid = replace(INVOICE, number=EVIL, reference=EVIL, reason=EVIL)
    evil = Page(html_of(Bill(paid, lines, EVIL)))
    assert "script" not in evil.tags
    assert [tag for tag in evil.tags if tag not in ("dt", "dd")] == [tag for tag in plain if tag not in ("dt", "dd")]
    assert sum(EVIL in words for words in evil.words) >= len(lines) * 3 + 3


def test_the_page_loads_nothing_from_elsewhere_and_prints_on_a4() -> None:
    page = html_of(BILL)
    assert "size: A4" in page
    assert {"link", "script", "img", "iframe"}.isdisjoint(Page(page).tags)
    assert "://" not in page


def test_the_page_of_a_credit_note_names_its_invoice_and_how_to_check_it() -> None:
    note = replace(INVOICE, kind=DocumentKind.CREDIT_NOTE, number="CRN-2026-000001", credits_id=DocumentId(UUID(int=9)))
    page = html_of(Bill(note, LINES, "acme", "INV-2026-000007"))
    assert "Credit note CRN-2026-000001" in page
    assert "reversal of what INV-2026-000007 billed" in page
    assert "swarmex ledger statement acme" in html_of(BILL)
    assert "swarmex ledger statement" not in page


def test_facts_are_told_in_words_and_in_the_time_of_the_bills_zone() -> None:
    assert facts_of(BILL) == {
        "Account": f"acme ({UUID(int=1)})",
        "Period": "2026-10, Europe/Berlin",
        "Issued": "2026-11-01 06:00 CET",
        "Id": str(UUID(int=2)),
    }
    draft = Bill(replace(INVOICE, id=None, number=None, state=DocumentState.DRAFT, finalised_at=None), (), "acme")
    assert list(facts_of(draft)) == ["Account", "Period"]
    assert heading_of(draft.document) == "Invoice"
    assert file_name(draft.document, "csv") == "draft-2026-09-30.csv"
    assert file_name(INVOICE, "html") == "INV-2026-000001.html"
    closed = Bill(replace(INVOICE, closed_at=ISSUED, reference="SEPA-1", reason="wrong"), (), "acme", "INV-1")
    assert list(facts_of(closed)) == [
        "Account",
        "Period",
        "Credits",
        "Issued",
        "Closed",
        "Payment",
        "Void because",
        "Id",
    ]


def test_the_csv_has_a_row_per_line_that_sum_to_the_total() -> None:
    rows = list(csv.DictReader(StringIO(csv_of(BILL))))
    assert set(rows[0]) == set(CSV_COLUMNS)
    lines, rest = rows[:3], {row["kind"]: row for row in rows[3:]}
    assert [row["line"] for row in rows] == ["1", "2", "3", "", "", ""]
    assert {row["document"] for row in rows} == {"INV-2026-000001"}
    assert [row["quantity"] for row in lines] == ["1.5", "1", ""]
    nano = [int(row["amount"].replace(".", "")) for row in lines]
    assert sum(nano) == int(rest["total"]["amount"].replace(".", "")) == INVOICE.total_nano
    assert (rest["carried_in"]["amount"], rest["carried_out"]["amount"]) == ("0.001000000", "-0.004432110")
    assert (rest["total"]["rounded"], rest["carried_in"]["rounded"]) == ("1.24", "")


def test_a_name_that_a_spreadsheet_would_run_is_words_in_the_csv() -> None:
    for name in ("=SUM(A1)", "+1", "-1", "@cmd", "\tx"):
        line = replace(LINES[0], kind=name, tier=name, description=name, unit=name)
        row = next(csv.DictReader(StringIO(csv_of(Bill(INVOICE, (line,), "acme")), newline="")))
        assert {row[column] for column in ("kind", "tier", "description", "unit")} == {f"'{name}"}
    comma = replace(LINES[0], description='a, "b"\nc')
    assert next(csv.DictReader(StringIO(csv_of(Bill(INVOICE, (comma,), "acme")))))["description"] == 'a, "b"\nc'
