"""Payouts from the command line."""

import pytest

from backend.bootstrap import new_id
from backend.domain.money import NANO_PER_CREDIT
from tests.integration.cli.runner import Cli
from tests.integration.services.earning import assert_audited, earn
from tests.market import Market


@pytest.fixture
def earned(market: Market) -> Market:
    """A provider that earned five credits."""
    earn(market, 5 * NANO_PER_CREDIT)
    return market


def test_a_payout_is_requested_approved_and_posted(cli: Cli, earned: Market) -> None:
    asked = cli.json("payout", "request", "provider", "2", "--destination", "DE02 1203")
    assert (asked["state"], asked["amount"], asked["destination"]) == ("requested", "2.000000000", "DE02 1203")
    assert cli.refused("payout", "post", asked["id"], "--reference", "sepa-1") == ("payout_requested", "payout")
    assert cli.json("payout", "approve", asked["id"])["state"] == "approved"
    posted = cli.json("payout", "post", asked["id"], "--reference", "sepa-1")
    assert (posted["state"], posted["reference"]) == ("posted", "sepa-1")
    assert cli.json("payout", "post", asked["id"], "--reference", "sepa-1") == posted
    assert cli.json("payout", "show", asked["id"]) == posted
    assert cli.json("payout", "list", "--account", "provider", "--state", "posted") == [posted]
    assert cli.json("payout", "list", "--account", "buyer") == []
    assert asked["id"] in cli.run("payout", "list").out
    assert cli.json("account", "show", "provider")["earnings"] == "3.000000000"
    assert_audited(earned)


def test_a_payout_is_rejected_or_cancelled_and_its_hold_released(cli: Cli, earned: Market) -> None:
    for verb, more in (("reject", ("--reason", "no such bank")), ("cancel", ())):
        asked = cli.json("payout", "request", "provider", "5", "--destination", "DE02")
        assert cli.refused("payout", "request", "provider", "5", "--destination", "DE02") == (
            "insufficient_earnings",
            "amount",
        )
        assert cli.json("payout", verb, asked["id"], *more)["state"] == f"{verb}ed".replace("celed", "celled")
        assert cli.refused("payout", "approve", asked["id"])[1] == "payout"
    assert_audited(earned)


def test_what_cannot_be_paid_out_is_refused(cli: Cli, earned: Market) -> None:
    assert cli.refused("payout", "request", "provider", "0.5", "--destination", "DE02") == ("invalid_amount", "amount")
    assert cli.refused("payout", "request", "nobody", "1", "--destination", "DE02") == ("unknown_account", "account")
    assert cli.refused("payout", "show", "mine") == ("invalid_payout", "payout")
    assert cli.refused("payout", "show", new_id()) == ("unknown_payout", "payout")
