"""Statements of earnings over HTTP: opening + lines = closing, for the provider and admins alone."""

import pytest

from backend.bootstrap import Swarmex
from backend.domain.access import Spender
from tests.integration.api.bills import SPENT, long_ago, nano, spend_long_ago
from tests.integration.api.callers import Callers, problem

PATH = "/api/v1/ledger/earnings-statement"
EARNED = sum(SPENT) - sum(-(-amount * 50_000 // 10**6) for amount in SPENT)


@pytest.fixture(autouse=True)
def earned(market: Swarmex, callers: Callers) -> None:
    """What the provider earned in a past month, after the market's fee."""
    spend_long_ago(market, Spender(callers.user.account_id), callers.provider.account_id)


def test_a_month_of_earnings_lies_between_two_balances_and_the_next_begins_where_it_ended(callers: Callers) -> None:
    month = f"{long_ago():%Y-%m}"
    then = callers.provider.get(PATH, params={"month": month}).json()
    [line] = then["lines"]
    assert (line["kind"], line["count"], nano(line["earnings"]), nano(line["withheld"])) == ("charge", 3, EARNED, 0)
    assert (nano(then["opening"]), nano(then["closing"])) == (0, EARNED)
    after = callers.provider.get(PATH, params={"month": then["period_end"][:7]}).json()
    assert (after["opening"], after["lines"], after["closing"]) == (then["closing"], [], then["closing"])
    assert after["period_start"] == then["period_end"]
    assert callers.provider.get(PATH).json()["closing"] == after["closing"]
    assert after["closing"] == callers.provider.get("/api/v1/accounts/me").json()["earnings"]
    asked = {"month": month, "account": str(callers.provider.account_id)}
    assert callers.admin.get(PATH, params=asked).json() == then


def test_nobody_reads_anothers_earnings(callers: Callers) -> None:
    asked = {"account": str(callers.provider.account_id)}
    assert problem(callers.user.get(PATH, params=asked))[0] == 403
    whose = {"account": str(callers.user.account_id)}
    assert problem(callers.provider.get(PATH, params=whose))[0] == 404


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"month": "october"}, "month"),
        ({"timezone": "Mars"}, "timezone"),
        ({"from": "2026-10-02", "to": "2026-10-02"}, "to"),
        ({"from": "2026-10-02"}, "month"),
        ({"from": "yesterday", "to": "2026-10-02"}, "from"),
    ],
)
def test_a_period_that_cannot_be_is_refused(callers: Callers, asked: dict[str, str], field: str) -> None:
    refused = problem(callers.provider.get(PATH, params=asked))
    assert (refused[0], refused[2]) == (422, field)
