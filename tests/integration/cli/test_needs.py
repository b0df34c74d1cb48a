"""Hardware of nodes and needs of orders from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.runner import Cli
from tests.market import REQUEST, Market

GPU = {"cores": 32, "memory_mb": 131_072, "gpu_model": "a100", "gpu_memory_mb": 81_920, "accelerators": 2}
STATED: dict[str, Any] = GPU | {"residency": "de", "latency_ms": 5}
NODE = ("node", "register", "gpu-1", "--account", "provider", "--class", "fog", "--region", "north")


@pytest.fixture
def place(tmp_path: Path) -> tuple[object, ...]:
    """The command line of an order of the buyer."""
    path = tmp_path / "request.json"
    path.write_text(json.dumps(REQUEST))
    return ("order", "place", "--account", "buyer", "--model", "doubling", "--tier", "medium", "--input", path)


def test_a_node_is_registered_listed_and_shown_with_what_it_has(cli: Cli, market: Market) -> None:
    options = [part for name, value in STATED.items() for part in (f"--{name.replace('_', '-')}", value)]
    made = cli.json(*NODE, *options)
    assert made == made | STATED
    assert cli.json("node", "show", "gpu-1") == made
    assert cli.json("node", "list") == [made]
    listed = cli.run("node", "list").out
    assert "32 cores, 128 GiB, 2 × a100 80 GiB, de, 5 ms" in listed
    assert "5%" in listed
    assert "gpu memory mb" in cli.run("node", "show", "gpu-1").out
    assert cli.refused("node", "show", "gpu-2") == ("unknown_node", "node")


def test_a_plain_node_is_told_in_few_words(cli: Cli, market: Market) -> None:
    cli.json(*NODE, "--memory-mb", 512)
    assert "1 core, 512 MiB " in cli.run("node", "list").out


def test_hardware_that_cannot_be_is_refused(cli: Cli, market: Market) -> None:
    assert cli.refused(*NODE, "--gpu-model", "a100") == ("contradictory_hardware", "accelerators")
    assert cli.refused(*NODE, "--cores", "0") == ("invalid_cores", "cores")
    assert cli.refused(*NODE, "--residency", "Germany") == ("invalid_residency", "residency")
    assert cli.json("node", "list") == []


def test_an_order_is_placed_with_needs_and_shows_them(cli: Cli, market: Market, place: tuple[object, ...]) -> None:
    node = market.node("gpu-1", **STATED)
    market.node("plain")
    market.executor()
    words = ("--need", "gpu_memory_mb=40960", "--need", "only=gpu-1", "--need", "residency=fr,de", "--need", "spread")
    [order] = cli.json(*place, *words, "--interruptible", "--region", "moon", "--failover")["orders"]
    needs = {"gpu_memory_mb": 40_960, "residency": ["de", "fr"], "spread": True, "only": [str(node.id)]}
    assert (order["needs"], order["interruptible"], order["region"]) == (needs, True, "north")
    assert cli.json("order", "show", order["id"])["order"]["needs"] == needs
    shown = cli.run("order", "show", order["id"]).out
    assert f"gpu_memory_mb 40960; residency de, fr; spread; only {node.id}" in shown
    assert "{" not in shown
    assert "would match" in shown


def test_needs_that_cannot_be_met_are_refused_with_what_is_short(
    cli: Cli, market: Market, place: tuple[object, ...]
) -> None:
    market.node("plain")
    market.executor()
    assert cli.refused(*place, "--need", "cores=64") == ("needs_unmet", "needs.cores")
    nowhere = cli.run(*place, "--need", "residency=fr").err
    assert "residency: fr wanted, none has it" in nowhere
    assert "accepted: residency left out" in nowhere
    assert "1 is the best" in cli.run(*place, "--need", "cores=64", "--quote").err
    market.node("whole", slots=8, region="south")
    whole = (*place, "--need", "dedicated", "--region", "south")
    assert cli.refused(*whole) == cli.refused(*whole, "--quote") == ("needs_unmet", "slots")
    assert "accepted: 8 or more, or dedicated left out" in cli.run(*whole).err
    assert cli.refused(*place, "--need", "cores=nan") == ("invalid_cores", "needs.cores")
    assert cli.refused(*place, "--need", "never=nobody") == ("unknown_node", "needs.never")
    assert cli.refused(*place, "--need", "dedicated", "--need", "spread") == ("contradictory_needs", "needs.spread")
    assert cli.json("order", "list") == []
