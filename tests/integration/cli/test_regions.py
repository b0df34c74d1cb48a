"""Distances between regions from the command line."""

import pytest

from tests.integration.cli.runner import Cli
from tests.market import Market


def test_a_distance_is_stated_restated_listed_and_forgotten(cli: Cli, market: Market) -> None:
    market.node("here")
    market.node("there", region="south")
    assert cli.run("region", "link", "south", "north", 18).err == ""
    link = cli.json("region", "link", "north", "south", 20)
    assert link == {"region": "north", "other": "south", "latency_ms": 20}
    assert cli.json("region", "list") == [link]
    assert cli.json("region", "unlink", "south", "north") == link
    assert cli.json("region", "list") == []
    assert cli.refused("region", "unlink", "south", "north") == ("unknown_region_link", "other")
    assert cli.refused("region", "unlink", "south", "south") == ("invalid_other", "other")
    entries = cli.json("log", "list", "--subject", "region north")
    assert [entry["action"] for entry in entries] == ["region.unlink", "region.link", "region.link"]


def test_a_region_without_nodes_is_linked_with_a_note_that_tells_the_way_back(cli: Cli, market: Market) -> None:
    market.node("here")
    told = cli.run("region", "link", "north", "mars", 5).err
    assert "No node is in mars yet. `swarmex region unlink mars north` undoes this." in told
    assert "No node is in north" not in told


@pytest.mark.parametrize("words", [("-1", "--json"), ("--json", "-1"), ("--json", "--", "-1")])
def test_a_negative_distance_is_refused_with_the_range(cli: Cli, market: Market, words: tuple[str, ...]) -> None:
    error = cli.run("region", "link", "north", "south", *words).document["error"]
    assert (error["code"], error["accepted"]) == ("invalid_latency_ms", "0 to 60000")
