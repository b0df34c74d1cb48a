"""Prices, history, depth, book and rules of markets from the command line."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from backend.bootstrap import utc_now
from backend.domain.money import NANO_PER_CREDIT
from backend.services import orders, pricing
from tests.integration.cli.runner import Cli
from tests.market import ASK, REQUEST, Market


@pytest.fixture
def priced(market: Market) -> Market:
    """A market with two points of history."""
    market.node("fog-1", slots=3)
    market.executor()
    for seconds in (-10, 0):
        pricing.reprice(market.app.uow(), utc_now() + timedelta(seconds=seconds))
    return market


def test_prices_have_two_names(cli: Cli, priced: Market) -> None:
    [price] = cli.json("market", "prices")
    assert (price["resource_class"], price["region"], price["spot_price"]) == ("fog", "north", "0.001000000")
    assert cli.json("price", "list") == [price]


def test_the_history_of_a_market_is_listed_with_its_course(cli: Cli, priced: Market) -> None:
    newest, opening = cli.json("market", "history")
    assert (newest["cause"], opening["cause"], opening["spot_price"]) == ("held", "opened", "0.001000000")
    assert cli.json("market", "history", "fog/north", "--limit", 1) == [newest]
    assert cli.json("market", "history", "--to", newest["at"]) == [opening]
    assert "fog/north  ▁▁" in cli.run("market", "history", "fog/north").out
    assert cli.refused("market", "history", "--from", "soon") == ("invalid_time", "from")
    assert cli.refused("market", "history", "--limit", 0) == ("invalid_limit", "limit")
    never = ("--from", "2026-10-02", "--to", "2026-10-01")
    assert cli.refused("market", "history", *never) == ("invalid_before", "before")


def test_depth_gives_nobody_away_and_the_book_shows_all_to_the_operator(cli: Cli, priced: Market) -> None:
    [order] = priced.place(limit_nano_per_slot_s=7 * ASK)
    [depth] = cli.json("market", "depth")
    assert cli.json("market", "depth", "fog/north") == [depth]
    assert cli.refused("market", "depth", "toaster/north") == ("invalid_resource_class", "resource_class")
    hidden = {"above": None, "up_to": None, "slots": None, "fewer_than_3": True}
    assert (depth["slots_free"], depth["free"], depth["waiting"]) == (3, [hidden], [hidden])
    shown = cli.run("market", "depth").out
    assert "of fewer than 3 accounts" in shown
    assert "0.007" not in shown
    book = cli.json("market", "book")
    assert [(o["order"], o["limit"]) for o in book["orders"]] == [(str(order.id), "0.007000000")]
    assert [(o["node_name"], o["ask"], o["slots_free"]) for o in book["offers"]] == [("fog-1", "0.001000000", 3)]
    assert book["complete"]
    assert "0.007000000" in cli.run("market", "book", "fog/north").out
    assert cli.refused("market", "book", "--limit", 0) == ("invalid_limit", "limit")


def test_a_book_that_was_cut_off_says_so(cli: Cli, priced: Market) -> None:
    priced.place(2)
    assert cli.json("market", "book", "--limit", 1)["complete"] is False
    assert "raise --limit" in cli.run("market", "book", "--limit", 1).err


def test_bands_are_named_by_their_multiples_of_the_spot_price(cli: Cli, priced: Market) -> None:
    for name in ("x", "y", "z"):
        buyer = priced.account(f"buyer-{name}", 100 * NANO_PER_CREDIT)
        orders.place_workload(priced.app.uow(), utc_now(), buyer, priced.request(limit_nano_per_slot_s=2 * ASK))
    shown = cli.run("market", "depth").out
    for band in ("≤ 0.5 × spot", "> 0.5, ≤ 1 × spot", "> 1, ≤ 2 × spot", "> 2 × spot", "any"):
        assert band in shown
    assert "of fewer than 3 accounts" in shown
    assert "market book" not in shown


def test_where_all_depth_is_sealed_a_line_says_so_in_place_of_a_table(cli: Cli, priced: Market) -> None:
    line = "fog/north at 0.001000000: 3 slots free, nobody waits; of fewer than 3 accounts."
    sealed = "What fewer than 3 accounts ask or bid is sealed; `swarmex market book` shows it to admins."
    assert cli.run("market", "depth").out.splitlines() == [line, sealed]
    priced.place()
    assert "3 slots free, some wait;" in cli.run("market", "depth").out


def test_rules_are_listed_and_set_in_part(cli: Cli, priced: Market) -> None:
    [rule] = cli.json("market", "rules", "list")
    assert (rule["mechanism"], rule["target_ppm"], rule["own"]) == ("uniform", 700_000, False)
    made = cli.json("market", "rules", "set", "fog/north", "--mechanism", "mcafee", "--target", 80)
    assert made == rule | {"mechanism": "mcafee", "target_ppm": 800_000, "own": True}
    again = cli.json("market", "rules", "set", "fog/north", "--floor", "0.001", "--cap", "2")
    assert again == made | {"floor": "0.001000000", "cap": "2.000000000"}
    assert cli.json("market", "rules", "list") == [again]
    assert "80%" in cli.run("market", "rules", "list").out
    assert "target     70.5%" in cli.run("market", "rules", "set", "fog/north", "--target", "70.5").out
    assert [entry["action"] for entry in cli.json("log", "list", "--subject", "market fog/north")] == [
        "market.rules"
    ] * 3


def test_a_target_is_refused_in_the_percent_that_it_is_typed_in(cli: Cli, market: Market) -> None:
    done = cli.run("market", "rules", "set", "fog/north", "--target", "101", "--json")
    assert done.document["error"]["accepted"].startswith("a percentage")
    done = cli.run("market", "rules", "set", "fog/north", "--target", "99.5", "--json")
    assert done.document["error"]["accepted"] == "1 to 99 percent"
    assert "swarmex market rules set --help" in done.document["error"]["next"]


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        (("fog/north",), "nothing_to_change", "mechanism"),
        (("fog/north", "--mechanism", "lottery"), "invalid_mechanism", "mechanism"),
        (("fog/north", "--floor", "NaN"), "invalid_amount", "floor"),
        (("fog/north", "--cap", "-1"), "invalid_amount", "cap"),
        (("fog/north", "--floor", "2", "--cap", "1"), "invalid_cap", "cap"),
        (("fog/north", "--target", "100"), "invalid_target", "target"),
        (("fog/north", "--target", "NaN"), "invalid_target", "target"),
        (("toaster/north", "--target", "50"), "invalid_resource_class", "resource_class"),
    ],
)
def test_rules_that_cannot_be_are_refused(
    cli: Cli, market: Market, words: tuple[str, ...], code: str, field: str
) -> None:
    assert cli.refused("market", "rules", "set", *words) == (code, field)
    assert cli.json("market", "rules", "list") == []


def test_a_quote_tells_cheaper_ways_in_words(cli: Cli, market: Market, tmp_path: Path) -> None:
    register = ("node", "register", "--account", "provider", "--class", "fog", "--pool", "pool")
    for name, region, ask in (("here", "north", "1"), ("there", "south", "0.001")):
        cli.run(*register, name, "--region", region)
        cli.json("offer", name, ask)
    market.executor()
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    asked = ("order", "place", "--account", "buyer", "--model", "doubling", "--tier", "medium", "--region", "north")
    line = (*asked, "--input", tmp_path / "request.json", "--quote")
    quote = cli.json(*line)
    assert quote["valid_until"]
    [way] = quote["alternatives"]
    assert (way["change"], way["market"]) == ("region", "fog/south")
    shown = cli.run(*line).out
    assert f"fog/south now should cost {way['expected_cost']}, {way['saving']} less" in " ".join(shown.split())
    assert "fog/north costs 1.000000000 credits per slot-second now" in " ".join(shown.split())


def test_a_market_that_is_not_is_no_quiet_market(cli: Cli, priced: Market) -> None:
    for verb in ("history", "depth", "book"):
        assert cli.refused("market", verb, "fog/nowhere") == ("unknown_market", "region")
        assert cli.refused("market", verb, "cloud/north") == ("unknown_market", "resource_class")
        assert cli.run("market", verb, "cloud/north", "--json").document["error"]["accepted"] == "fog/north"
    cli.json("node", "register", "rack-1", "--account", "provider", "--class", "cloud", "--region", "south")
    assert cli.json("market", "history", "cloud/south") == cli.json("market", "depth", "cloud/south") == []


@pytest.mark.parametrize("word", ["fog", "fog/", "/north", ""])
@pytest.mark.parametrize("verb", [("history",), ("depth",), ("book",), ("rules", "set"), ("rules", "reset")])
def test_a_market_is_named_by_class_and_region(cli: Cli, market: Market, verb: tuple[str, ...], word: str) -> None:
    assert cli.refused("market", *verb, word) == ("invalid_market", "market")
    assert "CLASS/REGION, as in cloud/north" in cli.run("market", *verb, word).err


def test_rules_of_a_market_without_nodes_are_kept_with_a_note_and_can_be_undone(cli: Cli, priced: Market) -> None:
    assert "No node is in" not in cli.run("market", "rules", "set", "fog/north", "--floor", 1).err
    prepared = ("market", "rules", "set", "cloud/nowhere", "--floor", 1)
    assert "No node is in cloud/nowhere yet" in cli.run(*prepared).err
    assert cli.json(*prepared)["own"]
    assert [rule["region"] for rule in cli.json("market", "rules", "list")] == ["nowhere", "north"]
    assert cli.json("market", "rules", "reset", "cloud/nowhere")["own"] is False
    assert cli.refused("market", "rules", "reset", "cloud/nowhere") == ("unknown_market_rules", "region")
    assert "accepted: fog/north" in cli.run("market", "rules", "reset", "cloud/nowhere").err
    assert "floor      0.000001000" in cli.run("market", "rules", "reset", "fog/north").out
    [rule] = cli.json("market", "rules", "list")
    assert (rule["region"], rule["own"]) == ("north", False)
    entries = cli.json("log", "list", "--action", "market.rules_reset")
    assert [entry["subject"] for entry in entries] == ["market fog/north", "market cloud/nowhere"]
