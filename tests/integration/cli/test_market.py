"""Nodes, offers, models, prices and orders from the command line."""

import json
from pathlib import Path

import pytest

from tests.integration.cli.runner import Cli
from tests.market import REQUEST, Market
from tests.onnx_files import write_doubling

NODE = ("node", "register", "rack-1", "--account", "provider", "--class", "cloud", "--region", "north")


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    """One inference request."""
    path = tmp_path / "request.json"
    path.write_text(json.dumps(REQUEST))
    return path


def test_a_node_is_registered_offered_drained_and_offered_again(cli: Cli, market: Market) -> None:
    made = cli.json(*NODE, "--slots", "4")
    assert (made["resource_class"], made["slots"], made["ask"]) == ("cloud", 4, None)
    assert made["queue"] == f"node.{made['id']}"
    assert cli.json("offer", "rack-1", "0.002")["version"] == 1
    assert cli.json("offer", made["id"], "0.003", "--account", "provider")["version"] == 2
    [listed] = cli.json("node", "list", "--account", "provider")
    assert (listed["id"], listed["ask"], listed["alive"]) == (made["id"], "0.003000000", False)
    assert cli.json("node", "drain", "rack-1")["state"] == "draining"
    cli.json("offer", "rack-1", "0.002")
    assert cli.json("node", "list")[0]["state"] == "active"
    assert made["id"] in cli.run("node", "list").out


def test_registering_a_node_tells_how_it_comes_alive(cli: Cli, market: Market) -> None:
    assert "`swarmex agents add inference --pool core`" in cli.run(*NODE, "--pool", "core").err


def test_a_name_that_several_nodes_have_needs_the_account(cli: Cli, market: Market) -> None:
    mine = cli.json(*NODE)
    cli.json("node", "register", "rack-1", "--account", "buyer", "--class", "fog", "--region", "north")
    assert cli.refused("node", "drain", "rack-1") == ("ambiguous_node", "node")
    assert cli.json("node", "drain", "rack-1", "--account", "provider")["id"] == mine["id"]
    assert cli.refused("node", "drain", "rack-9") == ("unknown_node", "node")
    assert cli.refused(*NODE) == ("node_exists", "name")


def test_the_settings_of_a_node_can_be_read_by_a_shell(cli: Cli, market: Market, node_database_url: str) -> None:
    settings = cli.json("node", "login")
    assert settings["SWARMEX_NODE_DATABASE_URL"] == node_database_url
    lines = cli.run("node", "login").out.splitlines()
    assert [line.partition("=")[0] for line in lines] == [f"export {name}" for name in settings]


def test_the_same_model_file_is_registered_once(cli: Cli, market: Market, tmp_path: Path) -> None:
    line = ("model", "register", "tripling", write_doubling(tmp_path / "model.onnx", 3.0))
    first, again = cli.json(*line), cli.json(*line)
    assert (first["version"], again["id"]) == (1, first["id"])
    assert [model["name"] for model in cli.json("model", "list")] == ["doubling", "tripling"]
    assert "x FP32[-1, 2]" in cli.run("model", "list").out


def test_a_file_that_is_no_model_is_refused(cli: Cli, market: Market, tmp_path: Path) -> None:
    assert cli.refused("model", "register", "m", tmp_path / "absent") == ("no_such_file", "file")
    (tmp_path / "text").write_text("no model")
    assert cli.refused("model", "register", "m", tmp_path / "text") == ("invalid_model_file", "file")


def test_an_order_is_quoted_placed_run_shown_and_listed(cli: Cli, market: Market, request_file: Path) -> None:
    market.node("fog-1")
    executor = market.executor()
    asked = ("order", "place", "--account", "buyer", "--model", "doubling", "--tier", "medium", "--input", request_file)
    quote = cli.json(*asked, "--quote")
    assert quote["markets"] == ["fog/north"]
    assert cli.json("order", "list") == []
    placed = cli.json(*asked, "--max-budget", "0.5", "--limit", "0.002")
    [order] = placed["orders"]
    assert (order["state"], order["limit"]) == ("open", "0.002000000")
    market.run(executor)
    shown = cli.json("order", "show", order["id"], "--results")
    assert shown["order"]["state"] == "settled"
    assert shown["served"][0]["node"] == "fog-1"
    assert [result["state"] for result in shown["results"]] == ["settled"]
    assert shown["charged"] == shown["order"]["charged"]
    assert cli.json("order", "list", "--account", "buyer", "--state", "settled") == [shown["order"]]
    assert cli.json("order", "list", "--account", "provider") == []
    assert order["id"] in cli.run("order", "list").out
    assert "fog-1" in cli.run("order", "show", order["id"], "--results").out
    assert cli.refused("order", "cancel", order["id"]) == ("order_closed", "order")


def test_an_order_that_got_fewer_slots_than_it_asked_for_says_so(cli: Cli, market: Market, request_file: Path) -> None:
    market.node("fog-1")
    market.executor()
    asked = ("order", "place", "--account", "buyer", "--model", "doubling", "--tier", "medium", "--input", request_file)
    [order] = cli.json(*asked, "--slots", 4)["orders"]
    assert "of 4 slots" not in cli.run("order", "show", order["id"]).out
    market.clear()
    assert "1 of 4 slots" in cli.run("order", "show", order["id"]).out
    assert cli.json("order", "show", order["id"])["order"]["slots"] == 4


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        (("offer", "rack-1", "-1"), "invalid_amount", "ask"),
        (("deposit", "buyer", "-0.5", "--reference", "r"), "invalid_amount", "amount"),
        (("fee", "set", "small", "-1"), "invalid_fee", "fee"),
        (("region", "link", "north", "south", "-1"), "invalid_latency_ms", "latency_ms"),
    ],
)
def test_a_negative_number_is_refused_with_what_is_accepted(
    cli: Cli, market: Market, line: tuple[str, ...], code: str, field: str
) -> None:
    assert cli.refused(*line) == (code, field)
    assert cli.run(*line, "--json").document["error"]["accepted"]


def test_an_open_order_is_cancelled_and_its_hold_given_back(cli: Cli, market: Market, request_file: Path) -> None:
    market.node("fog-1")
    market.executor()
    asked = ("order", "place", "--account", "buyer", "--model", "doubling", "--tier", "medium", "--input", request_file)
    [order] = cli.json(*asked)["orders"]
    assert cli.json("account", "show", "buyer")["reserved"] != "0.000000000"
    assert cli.json("order", "cancel", order["id"])["state"] == "cancelled"
    assert cli.json("account", "show", "buyer")["reserved"] == "0.000000000"


def test_what_the_market_refuses_is_told_with_its_field(cli: Cli, market: Market, request_file: Path) -> None:
    asked = ("order", "place", "--account", "buyer", "--tier", "medium", "--input", request_file)
    assert cli.refused(*asked, "--model", "nothing") == ("unknown_model", "model")
    assert cli.refused(*asked, "--model", "doubling") == ("no_capacity", "tier")
    assert cli.refused(*asked, "--model", "doubling", "--workload", "training") == ("workload_not_offered", "workload")
    assert cli.refused(*asked, "--model", "doubling", "--limit", "-1") == ("invalid_amount", "limit")
    assert cli.refused("order", "show", "mine") == ("invalid_order", "order")
    assert cli.refused("order", "show", market.provider.account_id) == ("unknown_order", "order")


def test_prices_are_those_of_living_nodes(cli: Cli, market: Market) -> None:
    market.node("fog-1", slots=3)
    market.executor()
    [price] = cli.json("price", "list")
    assert (price["resource_class"], price["region"], price["slots_free"]) == ("fog", "north", 3)
    assert price["spot_price"] == "0.001000000"
    assert "0.001000000" in cli.run("price", "list").out


def test_agents_are_listed_with_what_they_serve(cli: Cli, market: Market) -> None:
    executor = market.executor()
    [agent] = cli.json("agents", "list")
    assert (agent["id"], agent["state"], agent["queue"]) == (str(executor.id), "up", "pool.pool")
    market.node_database.agent_stop(executor.id)
    assert cli.json("agents", "list") == []
    assert [agent["state"] for agent in cli.json("agents", "list", "--all")] == ["stopped"]
    assert str(executor.id) in cli.run("agents", "list", "--all").out
