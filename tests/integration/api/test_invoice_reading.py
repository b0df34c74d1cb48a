"""Bills over HTTP, read by whom they are for: as JSON, as a file for a spreadsheet, as a page to print."""

import csv
from io import StringIO
from typing import Any
from uuid import UUID

import pytest

from backend.bootstrap import Swarmex
from backend.domain.access import Spender
from backend.domain.ids import AccountId
from tests.integration.api.bills import SPENT, TOTAL, drafted, nano, path_of, spend_long_ago
from tests.integration.api.callers import Callers, problem
from tests.integration.api.counting import rows
from tests.integration.api.lab import founded


@pytest.fixture
def draft(market: Swarmex, callers: Callers) -> dict[str, Any]:
    """The draft of a past month's invoice, over charges from the user to the provider."""
    spend_long_ago(market, Spender(callers.user.account_id), callers.provider.account_id)
    return drafted(callers, callers.user.account_id)


def test_the_csv_has_the_same_lines_and_opens_in_a_spreadsheet(callers: Callers, draft: dict[str, Any]) -> None:
    response = callers.user.get(path_of(draft, "/csv"))
    assert response.headers["Content-Type"].startswith("text/csv")
    assert 'filename="' in response.headers["Content-Disposition"]
    table = list(csv.DictReader(StringIO(response.text)))
    lines = [row for row in table if row["line"]]
    assert [(row["description"], row["amount"]) for row in lines] == [
        (line["description"], line["amount"]) for line in draft["lines"]
    ]
    [total] = [row for row in table if row["kind"] == "total"]
    assert sum(nano(row["amount"]) for row in lines) == nano(total["amount"]) == sum(SPENT)
    assert sum(nano(row["rounded"]) for row in lines) == nano(total["rounded"])


def test_the_page_to_print_is_whole_by_itself(callers: Callers, draft: dict[str, Any]) -> None:
    response = callers.user.get(path_of(draft, "/html"))
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    page = response.text
    assert page.lower().startswith("<!doctype html>")
    assert ("user-account" in page, f">{draft['total']}<" in page, f">{draft['amount']}<" in page) == (True,) * 3
    for outside in ("http://", "https://", "<script", "<link"):
        assert outside not in page


def test_what_an_operator_typed_is_words_on_the_page(callers: Callers, draft: dict[str, Any]) -> None:
    callers.admin.post(path_of(draft, "/finalise"))
    callers.admin.post(path_of(draft, "/void"), json={"reason": "<img src=x> & co"})
    page = callers.user.get(path_of(draft, "/html")).text
    assert ("&lt;img src=x&gt; &amp; co" in page, "<img" in page) == (True, False)


@pytest.mark.parametrize("form", ["", "/csv", "/html"])
def test_another_accounts_bill_is_not_there(callers: Callers, draft: dict[str, Any], form: str) -> None:
    assert callers.user.get(path_of(draft, form)).status_code == 200
    assert problem(callers.provider.get(path_of(draft, form))) == (404, "unknown_document", "document")
    assert problem(callers.stranger.get(path_of(draft, form)))[0] == 401
    asked = {"account": str(callers.user.account_id)}
    assert problem(callers.provider.get("/api/v1/invoices", params=asked))[0] == 404
    assert problem(callers.provider.get("/api/v1/invoices/current", params=asked))[0] == 404


def test_an_organisations_bill_is_read_with_the_keys_of_its_members(market: Swarmex, callers: Callers) -> None:
    lab = founded(market, callers)
    lab.deposit(sum(SPENT))
    spend_long_ago(market, Spender(AccountId(UUID(lab.id)), lab.ana.account_id), callers.provider.account_id)
    made = drafted(callers, lab.id)
    assert (made["account"], made["total"]) == (lab.id, TOTAL)
    assert [key.get(path_of(made)).json() for key in (lab.ana_for_lab, lab.ben_for_lab)] == [made, made]
    assert [document["id"] for document in lab.ana_for_lab.get("/api/v1/invoices").json()["invoices"]] == [made["id"]]
    assert lab.ana.get("/api/v1/invoices").json()["invoices"] == []
    assert problem(lab.ana.get(path_of(made)))[0] == 404


def test_lists_go_on_where_they_ended(callers: Callers, draft: dict[str, Any]) -> None:
    first = callers.admin.post(path_of(draft, "/finalise")).json()
    second = callers.admin.post("/api/v1/invoices", json={"account": draft["account"]}).json()
    page = callers.user.get("/api/v1/invoices", params={"limit": 1}).json()
    assert [document["id"] for document in page["invoices"]] == [second["id"]]
    rest = callers.user.get("/api/v1/invoices", params={"limit": 2, "before": page["next_before"]}).json()
    assert ([document["number"] for document in rest["invoices"]], rest["next_before"]) == ([first["number"]], None)
    assert problem(callers.user.get("/api/v1/invoices", params={"state": "lost"}))[::2] == (422, "state")


def test_the_running_months_bill_is_shown_and_nothing_written(callers: Callers, market: Swarmex) -> None:
    before = rows(market)
    now = callers.user.get("/api/v1/invoices/current").json()
    assert (now["id"], now["state"], now["lines"], now["total"]) == (None, "draft", [], "0.000000000")
    assert rows(market) == before
