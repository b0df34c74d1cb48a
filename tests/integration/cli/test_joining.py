"""`swarmex node token`, `node key` and `node join`, against a market that is served."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.bootstrap import Settings, connect
from tests.integration.api.once import application
from tests.integration.cli.runner import Cli
from tests.unit.api.serving import serving

TOKEN = ("node", "token", "create", "--account", "acme", "--class", "fog", "--region", "north")


@pytest.fixture
def url(cli: Cli) -> Iterator[str]:
    """The API of the market that `cli` operates, which has an account."""
    cli.json("account", "create", "acme")
    wired = connect(Settings())
    with serving(application(wired)) as url:
        yield url
    wired.close()


def join(cli: Cli, *arguments: object) -> tuple[dict[str, object], str]:
    """What a join that does not run prints: the document, and the notes."""
    done = cli.run("node", "join", *arguments, "--no-run", "--json")
    assert done.code == 0, done.out
    return done.document, done.err


def test_a_machine_joins_makes_an_offer_and_goes_on_as_itself(cli: Cli, url: str, tmp_path: Path) -> None:
    made = cli.json(*TOKEN, "--slots-max", 3, "--expires", "15m")
    [listed] = cli.json("node", "token", "list", "--account", "acme")
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    told, notes = join(cli, url, "--token", made["secret"], "--name", "attic", "--slots", 8, "--residency", "de")
    node = told["node"]
    assert isinstance(node, dict)
    assert (node["name"], node["slots"], node["region"], node["residency"]) == ("attic", 3, "north", "de")
    assert "no offer" in notes
    assert "It has 3 slots, not 8: its token allows no more." in notes
    file = tmp_path / "data" / "node.json"
    assert told["file"] == str(file)
    assert oct(file.stat().st_mode)[-3:] == "600"
    assert json.loads(file.read_text())["key"] not in json.dumps(told) + notes
    again, notes = join(cli, "--ask", "0.002")
    assert "Going on as node attic" in notes
    assert "slots" not in notes
    assert again["node"] == node | {"ask": "0.002000000"}, "as the market writes it"
    more, notes = join(cli, "--slots", 8)
    assert "It has 3 slots, not 8: as many as it has had since it joined." in notes
    assert more["node"] == again["node"]
    assert cli.json("node", "show", "attic")["ask"] == "0.002000000"
    assert cli.json("node", "token", "list") == []
    assert again["url"] == url


def test_a_token_that_was_used_and_a_wrong_one_say_so(
    cli: Cli, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = cli.json(*TOKEN)["secret"]
    join(cli, url, "--token", secret, "--name", "attic")
    monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(tmp_path / "elsewhere"))
    for token in (secret, "swj_guess"):
        assert cli.refused("node", "join", url, "--token", token, "--no-run") == ("join_token_refused", "token")
    assert not (tmp_path / "elsewhere").exists()


def test_a_token_that_was_revoked_opens_nothing_and_is_listed_no_more(cli: Cli, url: str) -> None:
    made, kept = cli.json(*TOKEN), cli.json(*TOKEN)
    assert cli.json("node", "token", "revoke", made["id"]) == {"token": made["id"], "revoked": True}
    assert [one["id"] for one in cli.json("node", "token", "list")] == [kept["id"]]
    assert cli.refused("node", "join", url, "--token", made["secret"], "--no-run") == ("join_token_refused", "token")
    assert cli.refused("node", "token", "revoke", made["id"]) == ("unknown_join_token", "join_token")
    assert cli.refused("node", "token", "revoke", made["secret"]) == ("invalid_join_token", "join_token")
    join(cli, url, "--token", kept["secret"], "--name", "attic")
    assert cli.refused("node", "token", "revoke", kept["id"]) == ("unknown_join_token", "join_token"), "it was used"
    assert cli.json("node", "key", "revoke", "attic")["revoked"] == 1


def test_a_key_that_was_revoked_says_so(cli: Cli, url: str) -> None:
    join(cli, url, "--token", cli.json(*TOKEN)["secret"], "--name", "attic")
    assert cli.json("node", "key", "revoke", "attic")["revoked"] == 1
    assert cli.json("node", "key", "revoke", "attic")["revoked"] == 0
    assert cli.refused("node", "join", "--no-run")[0] == "node_key_refused"


def test_a_node_whose_key_was_revoked_goes_on_with_a_new_token(cli: Cli, url: str, tmp_path: Path) -> None:
    first, _ = join(cli, url, "--token", cli.json(*TOKEN)["secret"], "--name", "attic", "--slots", 1)
    cli.json("node", "key", "revoke", "attic")
    (tmp_path / "data" / "node.json").unlink()
    secret = cli.json("node", "token", "create", "--node", "attic")["secret"]
    again, _ = join(cli, url, "--token", secret, "--name", "other", "--slots", 4)
    assert again["node"] == first["node"]
    assert len(cli.json("node", "list")) == 1
    join(cli)


def test_a_node_of_the_operators_own_needs_no_token(cli: Cli) -> None:
    cli.json("account", "create", "acme")
    cli.json("node", "register", "rack", "--account", "acme", "--class", "fog", "--region", "north")
    assert cli.refused("node", "token", "create", "--node", "rack") == ("node_not_remote", "node")


@pytest.mark.parametrize("missing", ["account", "class", "region"])
def test_a_token_for_a_new_node_names_what_was_not_said(cli: Cli, missing: str) -> None:
    at = TOKEN.index(f"--{missing}")
    assert cli.refused(*TOKEN[:at], *TOKEN[at + 2 :]) == ("missing_field", missing)


def test_a_url_without_a_market_says_so(cli: Cli, url: str) -> None:
    secret = cli.json(*TOKEN)["secret"]
    for wrong, code in (
        (f"{url}/elsewhere", "no_market"),
        ("http://127.0.0.1:1", "market_unreachable"),
        ("ftp://market.example", "invalid_url"),
        ("market.example", "invalid_url"),
    ):
        assert cli.refused("node", "join", wrong, "--token", secret, "--no-run") == (code, "url")
    join(cli, url, "--token", secret)


def test_a_folder_is_one_node_of_one_market(cli: Cli, url: str, tmp_path: Path) -> None:
    assert cli.refused("node", "join", "--no-run") == ("not_joined", "url")
    assert cli.refused("node", "join", url, "--no-run") == ("not_joined", "token")
    join(cli, url, "--token", cli.json(*TOKEN)["secret"])
    other = ("node", "join", "http://other.example", "--no-run")
    assert cli.refused(*other) == ("already_joined", "SWARMEX_DATA_FOLDER")
    (tmp_path / "data" / "node.json").write_text("{}")
    assert cli.refused("node", "join", "--no-run") == ("invalid_node_file", "SWARMEX_DATA_FOLDER")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--slots-max", "0"), "slots_max"),
        (("--name", "Not A Name"), "name"),
        (("--expires", "soon"), "expires"),
        (("--expires", "30d"), "expires_s"),
    ],
)
def test_a_senseless_token_is_refused(cli: Cli, options: tuple[str, str], field: str) -> None:
    cli.json("account", "create", "acme")
    assert cli.refused(*TOKEN, *options)[1] == field
