"""The books, disputes and fees from the command line."""

import csv
import io

import pytest

from backend.bootstrap import new_id
from backend.domain.money import NANO_PER_CREDIT, format_credits
from tests.integration.cli.runner import Cli
from tests.integration.services.earning import CHARGED, assert_audited, earn, ran
from tests.market import Market

NOBODY = str(new_id())


def test_the_books_show_an_account_a_transfer_a_hold_and_an_order(cli: Cli, market: Market) -> None:
    order = ran(market)
    [waiting] = market.place()
    account = cli.json("ledger", "show", "buyer")
    assert account == cli.json("ledger", "show", market.buyer.account_id)
    assert account["balances"]["wallet"]["posted"] == format_credits(1_000 * NANO_PER_CREDIT - CHARGED)
    assert account["balances"]["wallet"]["reserved"] == format_credits(waiting.worst_case_nano)
    assert [hold["id"] for hold in account["holds"]] == [str(waiting.hold_id)]
    assert [t["kind"] for t in account["transfers"]] == ["fee", "charge", "deposit"]
    shown = cli.json("ledger", "show", order.id)
    assert (shown["order"]["state"], shown["hold"]["captured"]) == ("settled", format_credits(CHARGED))
    assert cli.json("ledger", "show", order.hold_id)["transfers"] == shown["transfers"]
    charge = shown["transfers"][0]
    assert cli.json("ledger", "show", charge["id"]) == charge
    for what in ("buyer", order.id, order.hold_id, waiting.hold_id, charge["id"]):
        assert charge["id"] in cli.run("ledger", "show", what).out or what == waiting.hold_id
    assert "the market's fees" in cli.run("ledger", "show", shown["transfers"][1]["id"]).out
    assert cli.refused("ledger", "show", "nobody") == ("unknown_entry", "what")
    assert cli.refused("ledger", "show", NOBODY) == ("unknown_entry", "what")


def test_a_statement_is_a_table_a_document_or_a_spreadsheet(cli: Cli, market: Market) -> None:
    ran(market)
    left = format_credits(1_000 * NANO_PER_CREDIT - CHARGED)
    document = cli.json("ledger", "statement", "buyer")
    assert (document["opening"], document["closing"]) == ("0.000000000", left)
    assert [row["transfer"]["kind"] for row in document["rows"]] == ["deposit", "charge", "fee"]
    assert document["rows"][-1]["balance"] == left
    table = cli.run("ledger", "statement", "buyer").out
    assert table.startswith("opening balance  0.000000000\n")
    assert table.endswith(f"closing balance  {left}\n")
    lines = list(csv.DictReader(io.StringIO(cli.run("ledger", "statement", "buyer", "--csv").out)))
    assert [line["kind"] for line in lines] == ["opening", "deposit", "charge", "fee", "closing"]
    assert [line["balance"] for line in lines[1:-1]] == [row["balance"] for row in document["rows"]]
    assert (lines[0]["balance"], lines[-1]["balance"]) == ("0.000000000", left)
    fees = cli.json("ledger", "statement", "--kind", "fees")
    earnings = cli.json("ledger", "statement", "provider", "--kind", "earnings")
    assert [row["transfer"]["kind"] for row in fees["rows"] + earnings["rows"]] == ["fee", "charge"]


def test_a_statement_of_a_period_is_in_utc(cli: Cli, market: Market) -> None:
    later = cli.json("ledger", "statement", "buyer", "--from", "2999-01-01", "--to", "2999-01-02T00:00:00+01:00")
    assert (later["since"], later["until"]) == ("2999-01-01T00:00:00+00:00", "2999-01-01T23:00:00+00:00")
    assert (later["opening"], later["rows"]) == ("1000.000000000", [])
    earlier = cli.run("ledger", "statement", "buyer", "--to", "2020-01-01", "--csv").out.splitlines()
    assert earlier[1:] == [",,opening,,,,0.000000000", "2020-01-01 00:00:00+00:00,,closing,,,,0.000000000"]
    assert cli.refused("ledger", "statement", "buyer", "--from", "soon") == ("invalid_time", "from")
    assert cli.refused("ledger", "statement", "buyer", "--from", "2026-02-01", "--to", "2026-01-01") == (
        "invalid_period",
        "to",
    )
    assert cli.refused("ledger", "statement") == ("invalid_kind", "kind")
    assert cli.refused("ledger", "statement", "nobody") == ("unknown_account", "account")
    assert cli.run("ledger", "statement", "buyer", "--csv", "--json").document["error"]["code"] == "invalid_form"


def test_a_transfer_is_reversed_after_a_question(cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    order = ran(market)
    charge = cli.json("ledger", "show", order.id)["transfers"][0]
    line = ("ledger", "reverse", charge["id"], "--reason", "a mistake")
    for answer, code in (("n\n", 130), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        asked = cli.run(*line, "--with-fee")
        assert (asked.code, f"Reverse this charge of {charge['amount']} credits?" in asked.err) == (code, True)
    shown = cli.json("ledger", "show", order.id)
    assert shown["order"]["charged"] == "0.000000000"
    assert shown["transfers"][0]["reversed_by"] == shown["transfers"][2]["id"]
    assert cli.refused(*line, "--yes") == ("already_reversed", "transfer")
    assert cli.refused("ledger", "reverse", NOBODY, "--reason", "why", "--yes") == ("unknown_transfer", "transfer")
    assert cli.refused("ledger", "reverse", "mine", "--reason", "why", "--yes") == ("invalid_transfer", "transfer")
    assert_audited(market)


def test_a_smaller_charge_takes_a_charges_place(cli: Cli, market: Market) -> None:
    order = ran(market)
    charge = cli.json("ledger", "show", order.id)["transfers"][0]["id"]
    line = ("ledger", "reverse", charge, "--reason", "wrong price", "--yes", "--instead")
    assert cli.refused(*line, "1") == ("invalid_amount", "amount")
    assert cli.refused(*line, "-1") == ("invalid_amount", "instead")
    assert len(cli.json(*line, "0.000001")["transfers"]) == 4
    assert cli.json("order", "show", order.id)["order"]["charged"] == "0.000001000"
    assert_audited(market)


def test_the_credits_fund_is_filled_and_pays(cli: Cli, market: Market) -> None:
    filling = ("ledger", "fund", "5", "--source", "world", "--reference", "donation")
    first, again = cli.json(*filling), cli.json(*filling)
    assert (first["available"], again) == ("5.000000000", {**first, "repeated": True})
    assert cli.refused("ledger", "fund", "5", "--source", "fees", "--reference", "r") == ("fund_short", "amount")
    assert cli.refused("ledger", "fund", "5", "--source", "air", "--reference", "r") == ("invalid_source", "source")
    paid = cli.json("ledger", "refund", "buyer", "2", "--reason", "sorry")
    assert (paid["amount"], paid["order"]) == ("2.000000000", None)
    assert cli.refused("ledger", "refund", "buyer", "4", "--reason", "sorry") == ("fund_short", "amount")
    assert cli.refused("ledger", "refund", "buyer", "1", "--reason", "sorry", "--order", NOBODY) == (
        "unknown_order",
        "order",
    )
    assert cli.json("account", "show", "buyer")["wallet"] == "1002.000000000"
    assert_audited(market)


def test_a_dispute_is_opened_listed_and_resolved(cli: Cli, market: Market) -> None:
    order = ran(market)
    opened = cli.json("dispute", "open", order.id, "--reason", "all zeros")
    assert (opened["state"], opened["account"]) == ("open", str(market.buyer.account_id))
    assert opened["withheld"] == cli.json("ledger", "show", "provider")["balances"]["withheld"]["posted"]
    assert cli.json("dispute", "list", "--state", "open", "--account", "buyer") == [opened]
    assert cli.json("dispute", "show", opened["id"]) == opened
    assert opened["id"] in cli.run("dispute", "list").out
    assert cli.refused("dispute", "open", order.id, "--reason", "again") == ("already_disputed", "order")
    rejected = cli.json("dispute", "reject", opened["id"], "--reason", "it ran")
    assert (rejected["state"], rejected["refunded"]) == ("rejected", "0.000000000")
    again = cli.json("dispute", "open", order.id, "--reason", "look again")["id"]
    half = cli.json("dispute", "uphold", again, "--reason", "half", "--amount", "0.000001")
    assert (half["state"], half["refunded"]) == ("upheld", "0.000001000")
    assert cli.refused("dispute", "uphold", again, "--reason", "all") == ("dispute_resolved", "dispute")
    assert cli.refused("dispute", "show", "mine") == ("invalid_dispute", "dispute")
    assert_audited(market)


def test_fees_are_listed_and_set_for_a_time_to_come(cli: Cli, market: Market) -> None:
    assert [fee["fee_ppm"] for fee in cli.json("fee", "list")] == [20_000, 30_000, 40_000, 50_000]
    cli.json("fee", "set", "small", "6", "--from", "2999-01-01")
    now = cli.json("fee", "set", "small", "4.5")
    assert (now["version"], now["fee_ppm"]) == (3, 45_000)
    small = [(fee["version"], fee["fee_ppm"]) for fee in cli.json("fee", "list") if fee["tier"] == "small"]
    assert small == [(2, 60_000), (3, 45_000)]
    assert len(cli.json("fee", "list", "--all")) == 6
    assert "4.5" in cli.run("fee", "list").out
    assert cli.refused("fee", "set", "small", "51") == ("invalid_fee", "fee")
    assert cli.refused("fee", "set", "small", "5", "--from", "2020-01-01") == ("invalid_valid_from", "valid_from")


def test_a_payee_without_money_is_told_with_what_helps(cli: Cli, market: Market) -> None:
    order = ran(market)
    charge = cli.json("ledger", "show", order.id)["transfers"][0]
    earn(market, NANO_PER_CREDIT)
    all_of_it = cli.json("account", "show", "provider")["earnings"]
    cli.json("payout", "request", "provider", all_of_it, "--destination", "DE02")
    line = ("ledger", "reverse", charge["id"], "--reason", "why", "--yes")
    assert cli.refused(*line) == ("payee_short_of_funds", "from_fund")
    cli.json("ledger", "fund", "1", "--source", "world", "--reference", "r")
    assert cli.json(*line, "--from-fund")["from_fund"] == charge["amount"]
    assert_audited(market)
