"""The tiers from the command line."""

import pytest

from backend.domain.tiers import TIERS
from tests.integration.cli.runner import Cli
from tests.market import Market


def test_the_tiers_are_listed_with_their_limits_and_targets(cli: Cli, market: Market) -> None:
    listed = cli.json("tier", "list")
    assert [tier["tier"] for tier in listed] == list(TIERS)
    assert (listed[3]["classes"], listed[3]["rank"]) == (["dedicated", "cloud"], 0)
    fees = {fee["tier"]: fee["fee_ppm"] for fee in cli.json("fee", "list")}
    assert {tier["tier"]: tier["fee_ppm"] for tier in listed} == fees
    cli.json("fee", "set", "small", "6.25")
    cli.json("fee", "set", "medium", "7.75", "--from", "2999-01-01")
    shown = cli.run("tier", "list").out
    assert "Fee %" in shown
    assert "6.25" in shown
    assert "7.75" not in shown
    assert "fee             6.25%" in cli.run("tier", "show", "small").out
    for part in ("mobile, fog", "5 / 100", "10000 / 1000000", "99.99", "2000"):
        assert part in shown, part


def test_a_tier_is_changed_now_and_for_a_time_to_come(cli: Cli, market: Market) -> None:
    later = cli.json("tier", "set", "large", "--weight", "5", "--classes", "cloud, dedicated", "--from", "2999-01-01")
    assert (later["version"], later["classes"]) == (2, ["cloud", "dedicated"])
    steps = ("--credit", "99.95=10", "--credit", "99=30")
    limits = ("--slots", "9", "--request-cap", "7.5", "--month-cap", "60000", "--p95", "90", "--reserved", "12.5")
    now = cli.json("tier", "set", "large", *limits, "--uptime", "99.95", *steps)
    assert (now["version"], now["weight"], now["slots_max"], now["latency_ms_p95"]) == (3, 4, 9, 90)
    assert (now["request_cap"], now["month_cap"]) == ("7.500000000", "60000.000000000")
    assert (now["uptime_ppm"], now["reserved_ppm"]) == (999_500, 125_000)
    assert [list(step.values()) for step in now["ladder"]] == [[999_500, 100_000], [990_000, 300_000]]
    document = cli.json("tier", "show", "large")
    assert document["now"] == now | {"fee_ppm": 30_000}
    assert [v["version"] for v in document["versions"]] == [1, 2, 3, 4]  # the last: the one to come, with the new cap
    assert document["versions"][3]["month_cap"] == "60000.000000000"
    shown = cli.run("tier", "show", "large").out
    assert "ppm" not in shown
    assert f"{now['valid_from'][:10]} {now['valid_from'][11:16]}" in shown  # versions of one day can be told apart
    for part in (
        "uptime          99.95%",
        "reserved        12.5%",
        "below 99% uptime 30% back",
        "Versions",
        "2999-01-01",
        "7.5 / 60000",
    ):
        assert part in shown, part
    assert cli.json("tier", "set", "small", "--credit", "none")["ladder"] == []
    assert "below" not in cli.run("tier", "show", "small").out
    month = [b for b in cli.json("budget", "list", "--account", "buyer") if b["tier"] == "large"]
    assert [budget["amount"] for budget in month] == ["60000.000000000"]


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ((), ("nothing_to_change", "tier")),
        (("--slots", "0"), ("invalid_slots_max", "slots")),
        (("--classes", ""), ("invalid_classes", "classes")),
        (("--classes", "fog,moon"), ("invalid_classes", "classes")),
        (("--request-cap", "1e3"), ("invalid_amount", "request_cap")),
        (("--month-cap", "1"), ("invalid_request_cap", "request_cap")),
        (("--uptime", "101"), ("invalid_uptime", "uptime")),
        (("--reserved", "10.1"), ("invalid_reserved_ppm", "reserved")),
        (("--credit", "99.9"), ("invalid_credit", "credit")),
        (("--credit", "99.9=x"), ("invalid_credit", "credit")),
        (("--credit", "99.9=10"), ("invalid_ladder", "credit")),
        (("--weight", "2", "--from", "2020-01-01"), ("invalid_valid_from", "from")),
        (("--month-cap", "150", "--from", "2999-01-01"), ("invalid_valid_from", "from")),
    ],
)
def test_a_tier_that_cannot_be_is_refused_and_not_written(
    cli: Cli, market: Market, arguments: tuple[str, ...], refused: tuple[str, str]
) -> None:
    before = cli.json("tier", "list")
    assert cli.refused("tier", "set", "small", *arguments) == refused
    assert cli.json("tier", "list") == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--reserved", "95"),
            (
                "error: 185% of each market would be reserved",
                "accepted: at most 100% of all tiers together",
                "(small 95%, medium 20%, large 30%, enterprise 40%)",
            ),
        ),
        (
            ("--credit", "99.9=10", "--credit", "98=5"),
            ("error: 99.9%=10%, 98%=5% is no ladder", "steps of 0.0001% to 100%", "the uptime target of 99%"),
        ),
        (("--uptime", "0"), ("error: uptime 0 is out of range", "accepted: 0.0001% to 100%")),
        (("--slots", "0"), ("error: slots 0 is out of range",)),
    ],
)
def test_a_tier_is_refused_in_the_percent_that_it_is_typed_in(
    cli: Cli, market: Market, arguments: tuple[str, ...], told: tuple[str, ...]
) -> None:
    done = cli.run("tier", "set", "small", *arguments)
    assert "ppm" not in done.err
    for part in told:
        assert part in done.err, part


@pytest.mark.parametrize("arguments", [("set", "giant", "--weight", "2"), ("set", "small", "--slots", "x"), ("show",)])
def test_words_that_there_are_not_are_wrong_usage(cli: Cli, market: Market, arguments: tuple[str, ...]) -> None:
    done = cli.run("tier", *arguments)
    assert (done.code, done.out) == (2, "")
    assert f"swarmex tier {arguments[0]} --help" in done.err
