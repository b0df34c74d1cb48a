"""Real-time inference from the command line, through a gateway that is really there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.domain.money import parse_credits
from tests.integration.api.once import application
from tests.integration.api.supply import Supply, write_model
from tests.integration.cli.runner import Cli
from tests.market import Market
from tests.unit.api.serving import serving

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}]}


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    """One inference request."""
    path = tmp_path / "input.json"
    path.write_text(json.dumps(BODY))
    return path


@pytest.fixture
def gateway(cli: Cli, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A gateway with a node behind it, and a key in the environment."""
    cli.json("model", "register", "scale", write_model(tmp_path / "scale.onnx"))
    monkeypatch.setenv("SWARMEX_KEY", cli.json("key", "create", "buyer")["secret"])
    with (
        serving(application(market.app)) as url,
        Supply(market.app, market.provider.account_id, tmp_path / "node"),
    ):
        monkeypatch.setenv("SWARMEX_URL", url)
        yield url


def test_an_inference_gives_its_outputs_and_what_it_cost(cli: Cli, gateway: str, input_file: Path) -> None:
    answer = cli.json("infer", "scale", "--input", input_file, "--tier", "large")
    assert answer["outputs"][0]["data"] == [2.0, 4.0, 6.0, 8.0]
    assert answer["swarmex"]["node"] == "node-eu-1"
    assert "charge" not in answer["swarmex"], "nobody knows yet what the session will have cost"
    first = parse_credits(answer["swarmex"]["session_charge_so_far"], zero=True)
    again = cli.json("infer", "scale", "--input", input_file, "--tier", "large")["swarmex"]
    assert parse_credits(again["session_charge_so_far"], zero=True) > first, "it is paid by time"
    assert "session charge so far" in cli.run("infer", "scale", "--input", input_file, "--tier", "large").out
    assert "2.0, 4.0" in cli.run("infer", "scale", "--input", input_file, "--tier", "large").out
    of_version = cli.json("infer", "scale", "--version", "1", "--input", input_file, "--tier", "large")
    assert of_version["model_version"] == "1"


def test_in_tier_small_what_the_request_cost_is_told(
    cli: Cli, gateway: str, market: Market, input_file: Path, tmp_path: Path
) -> None:
    with Supply(market.app, market.provider.account_id, tmp_path / "fog", region="eu-2", kind="fog"):
        told = cli.json("infer", "scale", "--input", input_file, "--tier", "small")["swarmex"]
        shown = cli.run("infer", "scale", "--input", input_file, "--tier", "small").out
    assert parse_credits(told["charge"]) > 0
    assert "session_charge_so_far" not in told
    assert "so far" not in shown


def test_an_inference_with_an_sla_is_a_session_with_one(
    cli: Cli, gateway: str, market: Market, input_file: Path
) -> None:
    plain = cli.json("infer", "scale", "--input", input_file)["swarmex"]["lease"]
    promised = cli.json("infer", "scale", "--input", input_file, "--sla")["swarmex"]["lease"]
    with market.app.uow() as uow:
        found = {order.sla for order in uow.orders.newest(market.buyer.account_id, None, 10, None)}
    assert plain != promised
    assert found == {False, True}


def test_what_the_gateway_refuses_keeps_its_code(
    cli: Cli, gateway: str, input_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.refused("infer", "nothing", "--input", input_file)[0] == "unknown_model"
    assert cli.refused("infer", "scale", "--input", input_file, "--version", "9")[0] == "unknown_model_version"
    for no_name in ("sc\x1b[2Jale", "scale?x=", "scale#"):
        assert cli.refused("infer", no_name, "--input", input_file)[0] == "unknown_model", "and no other address"
    assert cli.refused("infer", "scale", "--input", input_file, "--tier", "small")[0] == "no_capacity"
    assert cli.refused("infer", "scale", "--input", input_file, "--tier", "small", "--sla")[0] == "sla_not_offered"
    assert cli.refused("infer", "scale", "--input", input_file, "--key", "swx_wrong")[0] == "unauthenticated"
    monkeypatch.delenv("SWARMEX_URL")
    monkeypatch.setenv("SWARMEX_API_PORT", "1")
    assert cli.refused("infer", "scale", "--input", input_file) == ("api_unreachable", "SWARMEX_URL")
