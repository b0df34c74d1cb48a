"""Clearings computed again from the command line."""

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id
from tests.integration.cli.runner import Cli
from tests.market import Market


@pytest.fixture
def cleared(market: Market) -> Market:
    """A market in which one order was traded."""
    market.node("fog-1")
    market.executor()
    market.place()
    market.clear()
    return market


def test_the_newest_clearings_are_replayed_and_one_by_its_id(cli: Cli, cleared: Market) -> None:
    [found] = cli.json("market", "replay", "--last", 10)
    assert (found["market"], found["orders"], found["decided"], found["verdict"]) == ("fog/north", 1, 1, "equal")
    assert cli.json("market", "replay", found["id"]) == [found]
    told = cli.run("market", "replay", found["id"])
    assert found["id"] in told.out
    assert told.err.startswith("1 × equal: ")


@pytest.mark.parametrize(
    ("change", "verdict", "code"),
    [
        ("UPDATE trades SET slots = slots + 1", "different", 1),
        ("UPDATE epochs SET book_digest = trades_digest", "other_book", 1),
        ("UPDATE epochs SET book = 'damaged'", "other_book", 1),
        ("UPDATE epochs SET book = NULL", "not_kept", 0),
        ("UPDATE epochs SET rules = rules + 1", "other_rules", 0),
    ],
)
def test_a_clearing_that_is_not_what_it_was_exits_with_1_and_one_that_cannot_be_told_with_0(
    cli: Cli, cleared: Market, change: str, verdict: str, code: int
) -> None:
    with cleared.app.engine.begin() as connection:
        assert connection.execute(text(change)).rowcount == 1
    done = cli.run("market", "replay", "--last", 1, "--json")
    assert (done.code, done.document[0]["verdict"]) == (code, verdict)


def test_a_clearing_that_does_not_exist_is_refused_with_where_to_look(cli: Cli, market: Market) -> None:
    assert cli.refused("market", "replay", new_id()) == ("unknown_epoch", "epoch")
    assert cli.refused("market", "replay", "yesterday") == ("invalid_epoch", "epoch")
    assert cli.refused("market", "replay") == ("invalid_epoch", "epoch")
    assert cli.refused("market", "replay", "--last", 0) == ("invalid_last", "last")
    assert "market replay --last 20" in cli.run("market", "replay", new_id()).err


def test_a_market_without_clearings_says_none(cli: Cli, market: Market) -> None:
    assert cli.json("market", "replay", "--last", 5) == []
    assert cli.run("market", "replay", "--last", 5).out.splitlines()[-1].strip() == "none"
