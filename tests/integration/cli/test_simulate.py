"""`swarmex market simulate` as an operator sees it, where there is no database and no market."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from tests.integration.cli.runner import Cli

SMALL = ("market", "simulate", "--hours", "3", "--step", "60", "--nodes", "10", "--orders-per-hour", "400")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`swarmex` on a machine where nothing of ours runs."""
    monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SWARMEX_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("SWARMEX_REDIS_URL", "redis://127.0.0.1:1/0")
    return Cli(capsys)


def test_a_day_is_told_as_one_document_hour_by_hour_and_tier_by_tier(cli: Cli, tmp_path: Path) -> None:
    told: dict[str, Any] = cli.json(*SMALL, "--seed", "5")
    assert (told["hours"], told["nodes"], told["mechanism"], told["seed"]) == (3, 10, "uniform", 5)
    assert (told["surge"], told["png"]) == (None, None)
    totals, by_hour, by_tier = told["totals"], told["by_hour"], told["by_tier"]
    assert [hour["starts_s"] for hour in by_hour] == [0, 3_600, 7_200]
    assert [tier["tier"] for tier in by_tier] == ["small", "medium", "large", "enterprise"]
    for parts in (by_hour, by_tier):
        for name in ("orders", "slots_traded", "slots_given_up"):
            assert sum(part[name] for part in parts) == totals[name]
    assert totals["slots_wanted"] == totals["slots_traded"] + totals["slots_given_up"] + totals["slots_waiting"]
    assert totals["orders"] > 300
    assert 0 < totals["utilisation"] <= 1
    assert 0.8 < totals["welfare"] <= 1
    assert Decimal(totals["paid"]) == Decimal(totals["earned"]) > 0
    assert 0 < Decimal(totals["surplus"]) < Decimal(totals["surplus_bound"])
    assert all(Decimal(hour["spot_price"]) > 0 for hour in by_hour)
    assert not (tmp_path / "nowhere").exists()


def test_a_day_can_be_repeated_by_its_seed(cli: Cli) -> None:
    first, again, other = (cli.json(*SMALL, "--seed", seed) for seed in ("5", "5", "6"))
    assert first == again
    assert first["by_hour"] != other["by_hour"]


def test_the_market_keeps_what_is_between_the_prices_of_the_truthful_auction(cli: Cli) -> None:
    totals = cli.json(*SMALL, "--mechanism", "mcafee")["totals"]
    assert Decimal(totals["kept_by_market"]) == Decimal(totals["paid"]) - Decimal(totals["earned"])
    assert Decimal(totals["kept_by_market"]) > 0


def test_a_surge_comes_half_way_and_is_tenfold(cli: Cli) -> None:
    calm, surged = cli.json(*SMALL), cli.json(*SMALL, "--surge")
    assert surged["surge"] == {"starts_s": 5_400, "lasts_s": 900, "factor": 10}
    orders = [[hour["orders"] for hour in day["by_hour"]] for day in (calm, surged)]
    assert orders[1][1] > 2.5 * orders[0][1]
    assert surged["totals"]["slots_given_up"] > calm["totals"]["slots_given_up"]


def test_the_tables_read_well_and_fit_a_terminal(cli: Cli) -> None:
    shown = cli.run(*SMALL, "--hours", "26")
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 100
    heads = ["From", "Orders", "Spot price", "Price paid", "Used", "Traded", "Waiting", "Gave up", "Welfare"]
    assert lines[1].split() == " ".join(heads).split()
    assert [line.split("  ")[0] for line in lines[3:5]] == ["00:00", "01:00"]
    assert lines[28].startswith("01:00 +1")
    assert "enterprise" in shown.out
    assert "utilisation" in shown.out


@pytest.mark.parametrize("options", [("--surge",), ("--mechanism", "mcafee", "--orders-per-hour", "1")])
def test_the_plot_is_a_picture_that_shows_something(cli: Cli, tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "day.png"
    told = cli.json(*SMALL, *options, "--png", path)
    assert told["png"] == str(path)
    assert path.read_bytes().startswith(PNG_SIGNATURE)
    picture = imread(path)
    height, width, _ = picture.shape
    assert (width, height) == (1_100, 880)
    for panel in range(3):  # each has lines in it
        assert picture[height * panel // 3 : height * (panel + 1) // 3].std() > 0.02
    assert f"plotted to {path}" in cli.run(*SMALL, *options, "--png", path).out.replace("\n", "")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (("--hours", "0"), "hours"),
        (("--step", "1"), "step"),
        (("--orders-per-hour", "-5"), "orders_per_hour"),
        (("--nodes", "1000000"), "nodes"),
        (("--slots", "0"), "slots"),
        (("--peak-hour", "24"), "peak_hour"),
        (("--swing", "nan"), "swing"),
        (("--mechanism", "vickrey"), "mechanism"),
        (("--seed", "-1"), "seed"),
        (("--png", "/"), "png"),
        (("--png", "/no/such/folder/day.png"), "png"),
    ],
)
def test_wrong_input_is_refused_with_the_option_at_fault(cli: Cli, wrong: tuple[str, ...], field: str) -> None:
    assert cli.refused(*SMALL, *wrong) == (f"invalid_{field}", field)


def test_what_is_not_a_number_is_a_matter_of_usage(cli: Cli) -> None:
    done = cli.run(*SMALL, "--nodes", "many", "--json")
    assert (done.code, done.document["error"]["field"]) == (2, "nodes")


def test_a_file_that_cannot_be_written_is_told(cli: Cli, tmp_path: Path) -> None:
    for path in (tmp_path / ("d" * 300), "/dev/full"):  # before the day is played, and after it
        assert cli.refused(*SMALL, "--png", path) == ("invalid_png", "png")
