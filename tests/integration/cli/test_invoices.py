"""Bills from the command line."""

import csv
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.money import format_credits
from tests.integration.cli.runner import Cli
from tests.integration.services.pooling import BUSY_US, COST_NANO, gateway_id, pooled
from tests.integration.services.pooling import spend as spend_on_requests
from tests.integration.services.spending import spend
from tests.market import Market

PAST = utc_now().replace(day=1) - timedelta(days=45)  # of a month that is over in any time zone
MONTH = f"{PAST:%Y-%m}"


def row(shown: str, begins: str) -> list[str]:
    """The words of the line that begins so."""
    return next(line.split() for line in shown.splitlines() if line.startswith(begins))


@pytest.fixture
def spent(market: Market) -> int:
    """What the buyer spent in a past month, in nano-credits."""
    spend(market, PAST, 1_234_567_890, fee_ppm=50_000)
    return 1_234_567_890


def test_a_month_is_billed_for_all_shown_exported_and_paid(
    cli: Cli, market: Market, spent: int, tmp_path: Path
) -> None:
    done = cli.json("invoice", "run", "--month", MONTH)
    assert (done["accounts"], done["issued"], done["total"], done["amount"]) == (1, 1, "1.234567890", "1.23")
    assert cli.json("invoice", "run", "--month", MONTH)["issued"] == 0
    [listed] = cli.json("invoice", "list", "--account", "buyer")
    number = listed["number"]
    shown = cli.json("invoice", "show", number)
    assert {name: shown[name] for name in listed} == listed
    assert cli.json("invoice", "show", listed["id"]) == shown
    assert row(cli.run("invoice", "list").out, number) == [
        number,
        "buyer",
        "invoice",
        "final",
        f"{MONTH},",
        "UTC",
        "1.23",
    ]
    page = tmp_path / "bill.html"
    assert cli.run("invoice", "export", number, "--html", "--output", page).code == 0
    assert number in page.read_text()
    rows = list(csv.DictReader(StringIO(cli.run("invoice", "export", number, "--csv").out)))
    assert [row["amount"] for row in rows if row["line"]] == [line["amount"] for line in shown["lines"]]
    assert cli.json("invoice", "export", number) == shown
    paid = cli.json("invoice", "pay", number, "--reference", "SEPA-1")
    assert (paid["state"], paid["reference"]) == ("paid", "SEPA-1")


def test_a_bill_is_shown_with_whose_it_is_and_how_its_lines_make_the_amount(
    cli: Cli, market: Market, spent: int
) -> None:
    spend(market, PAST, 432_109)
    id = cli.json("invoice", "draft", "buyer", "--month", MONTH)["id"]
    draft = cli.run("invoice", "show", id).out
    assert row(draft, "document") == ["document", "Invoice"]
    assert row(draft, "state") == ["state", "draft"]
    assert row(draft, "account")[:2] == ["account", "buyer"]
    assert row(draft, "period") == ["period", f"{MONTH},", "UTC"]
    assert row(draft, "Other")[-4:] == ["2", "charges", "1.234999999", "1.23"]
    assert [row(draft, name)[-1] for name in ("Total", "Carried in", "Carried out", "Amount")] == [
        "1.234999999",
        "0.000000000",
        "0.004999999",
        "1.23",
    ]
    number = cli.json("invoice", "finalise", id)["number"]
    void = cli.run("invoice", "void", number, "--reason", "wrong address").out
    assert row(void, "document") == ["document", "Invoice", number]
    assert row(void, "void because") == ["void", "because", "wrong", "address"]


def test_a_period_is_shown_in_the_days_of_its_time_zone(cli: Cli, market: Market, spent: int) -> None:
    cli.json("invoice", "draft", "buyer", "--month", MONTH, "--timezone", "Asia/Kolkata")
    assert f"{MONTH}, Asia/Kolkata" in cli.run("invoice", "list").out
    first, after = PAST.replace(day=1), PAST.replace(day=16)
    cli.json("invoice", "draft", "buyer", "--from", f"{first:%Y-%m-%d}", "--to", f"{after:%Y-%m-%d}")
    assert f"{first:%Y-%m-%d} up to {after:%Y-%m-%d}, UTC" in cli.run("invoice", "list").out


def test_a_draft_is_finalised_credited_and_void(cli: Cli, market: Market, spent: int) -> None:
    draft = cli.json("invoice", "draft", "buyer", "--month", MONTH, "--timezone", "Europe/Berlin")
    assert (draft["state"], draft["timezone"]) == ("draft", "Europe/Berlin")
    number = cli.json("invoice", "finalise", draft["id"])["number"]
    assert cli.refused("invoice", "credit", number)[0] == "nothing_to_credit"
    charge = next(t for t in cli.json("ledger", "show", "buyer")["transfers"] if t["kind"] == "charge")
    cli.json("ledger", "reverse", charge["id"], "--reason", "contested", "--with-fee", "--yes")
    assert number in cli.run("invoice", "run", "--month", MONTH).err
    assert cli.json("invoice", "run", "--month", MONTH)["to_credit"] == [number]
    note = cli.json("invoice", "credit", number)
    assert (note["kind"], note["total"]) == ("credit_note", "-1.234567890")
    assert cli.refused("invoice", "void", number, "--reason", "wrong")[0] == "has_credit_notes"
    assert cli.json("invoice", "void", note["number"], "--reason", "wrong")["state"] == "void"


def test_what_a_provider_earned_is_between_two_balances(cli: Cli, market: Market, spent: int) -> None:
    told = cli.json("invoice", "earnings", "provider", "--month", MONTH)
    [line] = told["lines"]
    assert (told["opening"], line["kind"], line["count"]) == ("0.000000000", "charge", 1)
    assert told["closing"] == line["earnings"]
    plain = cli.run("invoice", "earnings", "provider", "--month", MONTH).out
    assert f"Earnings of provider, {MONTH}, UTC" in plain
    assert row(plain, "closing balance")[-2:] == [told["closing"], "0.000000000"]


def test_what_was_paid_by_the_request_is_told_by_day_and_model(cli: Cli, market: Market) -> None:
    gateway = gateway_id()
    spend_on_requests(market, gateway, pooled(market, gateway), 1_500)
    told = cli.json("invoice", "requests", "buyer")
    [line] = told["lines"]
    charge = format_credits(1_500 * COST_NANO)
    assert (line["model"], line["requests"], line["busy_seconds"], line["charge"]) == (
        "doubling",
        1_500,
        f"{1_500 * BUSY_US / 1_000_000:g}",
        charge,
    )
    assert (told["requests"], told["charge"]) == (1_500, charge)
    plain = cli.run("invoice", "requests", "buyer").out
    assert row(plain, line["day"][:10])[1:] == ["doubling", "1500", line["busy_seconds"], charge]
    assert row(plain, "sum") == ["sum", "–", "1500", "–", charge]
    assert cli.json("invoice", "requests", "provider")["lines"] == []


def test_a_bill_that_cannot_be_is_refused(cli: Cli, market: Market, spent: int, tmp_path: Path) -> None:
    assert cli.refused("invoice", "draft", "nobody", "--month", MONTH) == ("unknown_account", "account")
    assert cli.refused("invoice", "draft", "buyer", "--month", "october")[1] == "month"
    assert cli.refused("invoice", "draft", "buyer", "--timezone", "Mars")[1] == "timezone"
    assert cli.refused("invoice", "show", "INV-1999-000001") == ("unknown_document", "document")
    assert cli.refused("invoice", "show", str(new_id())) == ("unknown_document", "document")
    assert cli.refused("invoice", "run", "--month", f"{utc_now():%Y-%m}") == ("period_not_over", "period")
    assert cli.refused("invoice", "run", "--month", "2026-13")[1] == "month"
    assert cli.refused("invoice", "list", "--account", "nobody") == ("unknown_account", "account")
    assert cli.refused("invoice", "list", "--limit", "0") == ("invalid_limit", "limit")
    assert cli.refused("invoice", "earnings", "provider", "--from", "2026-10-01") == ("invalid_period", "month")
    assert cli.refused("invoice", "earnings", "provider", "--from", "x", "--to", "y") == ("invalid_day", "from")
    assert cli.json("invoice", "list") == []
    draft = cli.json("invoice", "draft", "buyer")
    assert cli.refused("invoice", "finalise", draft["id"])[0] == "period_not_over"
    assert cli.refused("invoice", "export", draft["id"], "--csv", "--html") == ("invalid_form", "csv")
    nowhere = ("--html", "--output", tmp_path / "no" / "bill.html")
    assert cli.run("invoice", "export", draft["id"], *nowhere).code == 1
    assert "cannot be written" in cli.run("invoice", "export", draft["id"], *nowhere).err
    assert cli.refused("invoice", "pay", draft["id"], "--reference", "r")[0] == "document_closed"
    assert cli.refused("invoice", "pay", draft["id"], "--reference", "")[1] == "reference"
    assert cli.refused("invoice", "void", draft["id"], "--reason", "no")[0] == "document_closed"
    assert cli.refused("invoice", "credit", draft["id"])[0] == "not_issued"
    assert cli.json("invoice", "show", draft["id"]) == draft
