"""Bills over HTTP, made by admins: exact to the nano, from draft to final to paid or void."""

from typing import Any

import pytest

from backend.bootstrap import Swarmex
from backend.domain.access import Spender
from backend.domain.ids import TransferId
from tests.integration.api.bills import SPENT, TOTAL, drafted, nano, path_of, spend_long_ago
from tests.integration.api.callers import Callers, problem
from tests.integration.api.counting import rows


@pytest.fixture
def spent(market: Swarmex, callers: Callers) -> list[TransferId]:
    """Charges of a past month from the user to the provider, with the market's fee on each; their ids."""
    return spend_long_ago(market, Spender(callers.user.account_id), callers.provider.account_id)


@pytest.fixture
def draft(callers: Callers, spent: list[TransferId]) -> dict[str, Any]:
    """The draft of a past month's invoice."""
    return drafted(callers, callers.user.account_id)


def test_lines_sum_to_what_left_the_wallet_and_cents_to_the_amount(callers: Callers, draft: dict[str, Any]) -> None:
    left = 100 * 10**9 - nano(callers.user.get("/api/v1/accounts/me").json()["wallet"])
    assert (draft["state"], draft["number"], draft["total"]) == ("draft", None, TOTAL)
    assert sum(nano(line["amount"]) for line in draft["lines"]) == nano(draft["total"]) == left
    assert sum(nano(line["rounded"]) for line in draft["lines"]) == nano(draft["amount"])
    carried = nano(draft["carried_in"]) + nano(draft["total"]) - nano(draft["carried_out"])
    assert carried == nano(draft["amount"]) * 10**7
    assert callers.user.get(path_of(draft)).json() == draft


def test_a_bill_goes_from_draft_to_final_to_paid_and_each_step_may_be_repeated(
    callers: Callers, draft: dict[str, Any]
) -> None:
    paid = {"reference": "SEPA-1"}
    closed = (409, "document_closed", "document")
    assert problem(callers.admin.post(path_of(draft, "/pay"), json=paid)) == closed
    assert problem(callers.admin.post(path_of(draft, "/void"), json={"reason": "no"})) == closed
    assert problem(callers.admin.post(path_of(draft, "/credit-note"))) == (409, "not_issued", "document")
    issued = [callers.admin.post(path_of(draft, "/finalise")).json() for _ in range(2)]
    assert issued[0] == issued[1]
    assert (issued[0]["state"], issued[0]["number"][:4]) == ("final", "INV-")
    settled = [callers.admin.post(path_of(draft, "/pay"), json=paid).json() for _ in range(2)]
    assert (settled[0]["state"], settled[0]["reference"], settled[0]) == ("paid", "SEPA-1", settled[1])
    assert problem(callers.admin.post(path_of(draft, "/pay"), json={"reference": "SEPA-2"})) == closed
    assert problem(callers.admin.post(path_of(draft, "/void"), json={"reason": "no"})) == closed
    [listed] = callers.user.get("/api/v1/invoices").json()["invoices"]
    assert listed == {name: value for name, value in settled[0].items() if name != "lines"}
    assert callers.user.get("/api/v1/invoices", params={"state": "draft"}).json()["invoices"] == []
    assert callers.provider.get("/api/v1/invoices").json()["invoices"] == []


def test_what_was_reversed_after_the_bill_is_on_a_credit_note(
    callers: Callers, draft: dict[str, Any], spent: list[TransferId]
) -> None:
    callers.admin.post(path_of(draft, "/finalise"))
    nothing = (409, "nothing_to_credit", "document")
    assert problem(callers.admin.post(path_of(draft, "/credit-note"))) == nothing
    body = {"reason": "contested", "with_fee": True}
    undone = callers.admin.post(f"/api/v1/ledger/transfers/{spent[0]}/reverse", json=body)
    assert undone.status_code == 201, undone.text
    note = callers.admin.post(path_of(draft, "/credit-note")).json()
    assert (note["kind"], note["credits"], note["number"][:3]) == ("credit_note", draft["id"], "CRN")
    assert nano(note["total"]) == sum(nano(line["amount"]) for line in note["lines"]) == -SPENT[0]
    assert problem(callers.admin.post(path_of(draft, "/credit-note"))) == nothing
    assert callers.user.get(path_of(note)).json() == note
    assert problem(callers.admin.post(path_of(draft, "/void"), json={"reason": "no"}))[1] == "has_credit_notes"


def test_a_void_bill_is_issued_anew_under_another_number(callers: Callers, draft: dict[str, Any]) -> None:
    first = callers.admin.post(path_of(draft, "/finalise")).json()
    void = callers.admin.post(path_of(draft, "/void"), json={"reason": "wrong name"}).json()
    assert (void["state"], void["reason"], void["number"]) == ("void", "wrong name", first["number"])
    again = drafted(callers, callers.user.account_id)
    issued = callers.admin.post(path_of(again, "/finalise")).json()
    assert (issued["total"], issued["number"] > first["number"]) == (TOTAL, True)


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"month": "2026-13"}, 422, "month"),
        ({"timezone": "Mars"}, 422, "timezone"),
        ({"month": "2999-01"}, 409, None),
        ({"from": "2026-01-02", "to": "2026-01-02"}, 422, None),
        ({"from": "2026-01-02", "to": "2026-02-02", "month": "2026-01"}, 422, None),
        ({"account": "00000000-0000-7000-8000-000000000000"}, 404, "account"),
    ],
)
def test_a_bill_that_cannot_be_is_refused_and_not_written(
    callers: Callers, market: Swarmex, changes: dict[str, str], status: int, field: str | None
) -> None:
    before = rows(market)
    asked = {"account": str(callers.user.account_id)} | changes
    refused = problem(callers.admin.post("/api/v1/invoices", json=asked))
    assert refused[0] == status
    assert field in (None, refused[2])
    assert rows(market) == before


def test_this_month_is_not_over_and_is_not_issued(callers: Callers, market: Swarmex) -> None:
    made = callers.admin.post("/api/v1/invoices", json={"account": str(callers.user.account_id)}).json()
    assert problem(callers.admin.post(path_of(made, "/finalise")))[:2] == (409, "period_not_over")
    assert callers.admin.get(path_of(made)).json()["state"] == "draft"
