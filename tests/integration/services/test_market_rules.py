"""Rules of markets: the defaults, what an admin sets, and that both are told and logged."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Forbidden, NotFound, SwarmexError
from backend.domain.market_rules import MarketRule, RuleChange
from backend.domain.pricing import DEFAULT_CONTROL, Control
from backend.domain.pricing import Market as Place
from backend.services import market_rules, pricing
from tests.integration.services.earning import ADMIN, logged
from tests.market import Market

NORTH = Place("fog", "north")


def change(market: Market, resource_class: str = "fog", region: str = "north", **changes: object) -> MarketRule:
    """Change the rules of a market as an admin."""
    wish = RuleChange(**changes)  # type: ignore[arg-type]  # a test's own words
    return market_rules.set_rule(market.app.uow(), utc_now(), ADMIN, resource_class, region, wish)


def mechanism(market: Market) -> str:
    """The auction of the market in the north."""
    with market.app.uow() as uow:
        return uow.market_rules.of(NORTH).mechanism


def test_a_market_has_the_defaults_until_an_admin_changes_them(market: Market) -> None:
    assert market_rules.list_rules(market.app.uow()) == []
    market.node("a")
    market.executor()
    pricing.reprice(market.app.uow(), utc_now())
    assert market_rules.list_rules(market.app.uow()) == [MarketRule(NORTH, "uniform", DEFAULT_CONTROL)]
    assert mechanism(market) == "uniform"
    made = change(market, mechanism="mcafee", target_ppm=500_000)
    assert made == MarketRule(NORTH, "mcafee", Control(target_ppm=500_000), own=True)
    assert change(market, cap_nano=5_000).control == Control(cap_nano=5_000, target_ppm=500_000)
    assert [rule.mechanism for rule in market_rules.list_rules(market.app.uow())] == ["mcafee"]
    assert mechanism(market) == "mcafee"
    assert logged(market, "market") == ["market.rules", "market.rules"]


def test_a_market_may_have_rules_before_it_has_nodes(market: Market) -> None:
    made = change(market, "cloud", "south", floor_nano=5_000)
    assert market_rules.list_rules(market.app.uow()) == [made]


@pytest.mark.parametrize(
    ("resource_class", "region", "changes", "code", "field"),
    [
        ("mainframe", "north", {"mechanism": "uniform"}, "invalid_resource_class", "resource_class"),
        ("fog", "The Moon", {"mechanism": "uniform"}, "invalid_region", "region"),
        ("fog", "north", {"mechanism": "lottery"}, "invalid_mechanism", "mechanism"),
        ("fog", "north", {"floor_nano": 0}, "invalid_floor", "floor"),
        ("fog", "north", {"cap_nano": 2**80}, "invalid_cap", "cap"),
        ("fog", "north", {"target_ppm": -1}, "invalid_target", "target_ppm"),
        ("fog", "north", {}, "nothing_to_change", "mechanism"),
    ],
)
def test_rules_that_cannot_be_are_refused_and_nothing_is_written(
    market: Market, resource_class: str, region: str, changes: dict[str, object], code: str, field: str
) -> None:
    with pytest.raises(SwarmexError) as refused:
        change(market, resource_class, region, **changes)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.accepted
    assert market_rules.list_rules(market.app.uow()) == []
    assert logged(market, "market") == []


def test_only_admins_set_rules(market: Market) -> None:
    with pytest.raises(Forbidden):
        market_rules.set_rule(market.app.uow(), utc_now(), market.buyer, "fog", "north", RuleChange("mcafee"))


def test_two_who_change_different_things_at_once_both_have_their_way(market: Market) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(change, market, mechanism="mcafee"), pool.submit(change, market, target_ppm=300_000)]:
            done.result()
    [rule] = market_rules.list_rules(market.app.uow())
    assert (rule.mechanism, rule.control.target_ppm) == ("mcafee", 300_000)


def test_rules_are_reset_to_the_defaults_by_admins_only(market: Market) -> None:
    change(market, mechanism="mcafee")
    with pytest.raises(Forbidden):
        market_rules.reset_rule(market.app.uow(), utc_now(), market.buyer, "fog", "north")
    assert market_rules.reset_rule(market.app.uow(), utc_now(), ADMIN, "fog", "north") == MarketRule(NORTH)
    assert market_rules.list_rules(market.app.uow()) == []
    assert mechanism(market) == "uniform"
    with pytest.raises(NotFound) as refused:
        market_rules.reset_rule(market.app.uow(), utc_now(), ADMIN, "fog", "north")
    assert (refused.value.code, refused.value.accepted) == ("unknown_market_rules", "none has any")
    assert logged(market, "market") == ["market.rules", "market.rules_reset"]
