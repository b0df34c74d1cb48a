"""SLA windows from the command line."""

import json
from pathlib import Path

from backend.bootstrap import new_id, utc_now
from backend.domain.sla import WINDOW
from backend.services import sla
from tests.integration.cli.runner import Cli
from tests.integration.services.earning import ran, ran_again
from tests.market import REQUEST, Market


def test_windows_are_listed_and_shown(cli: Cli, market: Market) -> None:
    ran(market)
    ran_again(market, sla_required=True)
    assert cli.json("sla", "list") == []
    sla.observe(market.app.uow(), utc_now())
    [window] = cli.json("sla", "list")
    assert (window["tier"], window["state"], window["requests"], window["failures"]) == ("medium", "open", 1, 0)
    assert window["withheld"] == window["charged"] == "0.000048000"
    assert cli.json("sla", "show", window["id"]) == window
    for party in ("buyer", "provider"):
        assert cli.json("sla", "list", "--account", party, "--state", "open") == [window]
    assert cli.json("sla", "list", "--state", "closed") == []
    assert window["id"] in cli.run("sla", "list").out
    assert "Uptime %" in cli.run("sla", "list").out
    assert "uptime %" in cli.run("sla", "show", window["id"]).out
    sla.close_due(market.app.uow(), utc_now() + WINDOW)
    [closed] = cli.json("sla", "list", "--state", "closed")
    assert (closed["uptime_ppm"], closed["credit_ppm"]) == (1_000_000, 0)
    assert (closed["owed"], closed["credit"]) == ("0.000000000", "0.000000000")


def test_an_order_is_placed_with_an_sla_where_its_tier_has_one(cli: Cli, market: Market, tmp_path: Path) -> None:
    market.node("fog-1")
    market.executor()
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    asked = ("order", "place", "--account", "buyer", "--model", "doubling", "--input", tmp_path / "request.json")
    for more, promised in ((("--sla",), True), ((), False)):
        [order] = cli.json(*asked, "--tier", "medium", *more)["orders"]
        assert order["sla_required"] is promised
    assert cli.refused(*asked, "--tier", "small", "--sla") == ("sla_not_offered", "sla_required")


def test_a_window_that_does_not_exist_is_refused(cli: Cli, market: Market) -> None:
    assert cli.refused("sla", "show", "mine") == ("invalid_window", "window")
    assert cli.refused("sla", "show", new_id()) == ("unknown_window", "window")
    assert cli.refused("sla", "list", "--account", "nobody") == ("unknown_account", "account")
