"""Trust from the command line."""

from datetime import timedelta

from backend.bootstrap import utc_now
from backend.domain.machines import TRUST_NEW_PPM
from backend.domain.trust import Evidence
from backend.services import trust
from backend.storage.trust import Found
from tests.integration.cli.runner import Cli
from tests.market import Market


def test_trust_is_listed_and_shown_with_what_it_is_made_of_and_what_changed_it_lately(cli: Cli, market: Market) -> None:
    good, _ = market.node("good"), market.node("new")
    with market.app.uow() as uow:
        served = Found(good.id, market.buyer.account_id, Evidence.SERVED, 30)
        uow.trust.record([served], utc_now() - timedelta(days=2))
        rival = market.account("rival").account_id
        uow.trust.record([Found(good.id, rival, Evidence.LAPSED, 1)], utc_now())
        uow.commit()
    trust.rescore(market.app.uow(), utc_now())
    listed = cli.json("trust", "list")
    assert [node["name"] for node in listed] == ["good", "new"]
    assert listed[1]["trust_ppm"] == TRUST_NEW_PPM < listed[0]["trust_ppm"]
    assert cli.json("trust", "list", "--account", "buyer") == []
    assert "5.00%" in cli.run("trust", "list", "--account", "provider").out
    shown = cli.json("trust", "show", "good")
    assert shown["trust_ppm"] == listed[0]["trust_ppm"]
    why = shown["explanation"]
    assert why["before_ppm"] > why["score_ppm"]
    assert [(part["kind"], part["buyer"], part["counted"]) for part in why["parts"]] == [
        ("served", 1, 10.0),
        ("lapsed", 2, 2.0),
    ]
    assert [part["kind"] for part in why["lately"]] == ["lapsed"]
    table = cli.run("trust", "show", str(good.id)).out
    for told in ("Evidence", "Since a day ago", "buyer 1", "buyer 2", "served", "lapsed"):
        assert told in table
    for hidden in (market.buyer.account_id, rival):
        assert str(hidden) not in table
    assert cli.json("trust", "show", "new")["explanation"]["parts"] == []
    assert cli.refused("trust", "show", "nobody") == ("unknown_node", "node")


def test_a_check_tells_what_was_right_and_the_seed_that_it_can_be_repeated_with(cli: Cli, market: Market) -> None:
    market.node("a")
    executor = market.executor()
    market.place()
    market.run(executor)  # which answers with no outputs at all
    assert cli.json("trust", "check", "--seed", "one") == {"seed": "one", "passed": 0, "failed": 1, "skipped": 0}
    again = cli.json("trust", "check", "--per-node", "3")
    assert again | {"seed": None} == {"seed": None, "passed": 0, "failed": 0, "skipped": 0}
    assert len(again["seed"]) == 16
    assert cli.refused("trust", "check", "--per-node", "0") == ("invalid_per_node", "per_node")
