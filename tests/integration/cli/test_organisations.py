"""Organisations from the command line."""

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Unauthenticated
from backend.services import accounts, api_keys
from tests.integration.cli.runner import Cli
from tests.market import Market


@pytest.fixture
def lab(cli: Cli, market: Market) -> Cli:
    """An organisation that the buyer owns, and an account of ana's."""
    market.account("ana")
    made = cli.json("org", "create", "lab", "--owner", "buyer")
    assert (made["account"]["name"], made["account"]["type"], roles(made)) == (
        "lab",
        "organisation",
        {"buyer": "owner"},
    )
    return cli


def roles(document: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """What each member is, by name."""
    return {member["name"]: member["role"] for member in document["members"]}


def test_members_come_change_and_go(lab: Cli) -> None:
    assert roles(lab.json("org", "add", "lab", "ana")) == {"ana": "member", "buyer": "owner"}
    assert [(o["name"], o["role"]) for o in lab.json("org", "list", "--account", "ana")] == [("lab", "member")]
    assert roles(lab.json("org", "add", "lab", "ana", "--role", "owner"))["ana"] == "owner"
    assert roles(lab.json("org", "remove", "lab", "buyer")) == {"ana": "owner"}
    assert lab.json("org", "list", "--account", "buyer") == []
    assert [o["name"] for o in lab.json("org", "list")] == ["lab"]


def test_a_members_key_is_shown_once_and_opens_nothing_after_its_member_was_removed(lab: Cli, market: Market) -> None:
    lab.json("org", "add", "lab", "ana")
    key = lab.json("org", "key", "lab", "ana", "--label", "notebook")
    bearer = api_keys.authenticate(market.app.uow(), key["secret"])
    assert (str(bearer.account_id), key["label"]) == (key["account"], "notebook")
    assert bearer.member_id == accounts.show_account(market.app.uow(), "ana").id
    assert "Keep the secret" in lab.run("org", "key", "lab", "ana").err
    lab.json("org", "remove", "lab", "ana")
    with pytest.raises(Unauthenticated):
        api_keys.authenticate(market.app.uow(), key["secret"])


def test_an_organisation_shows_its_money_members_and_budgets(lab: Cli, market: Market) -> None:
    lab.json("org", "add", "lab", "ana")
    lab.json("deposit", "lab", "12", "--reference", "the lab's")
    lab.json("budget", "set", "5", "--account", "lab", "--period", "day", "--member", "ana")
    shown = lab.json("org", "show", "lab")
    assert (shown["account"]["wallet"], list(roles(shown))) == ("12.000000000", ["ana", "buyer"])
    assert [b["amount"] for b in shown["budgets"] if b["account"]] == ["5.000000000"]
    table = lab.run("org", "show", "lab").out
    for part in ("12.000000000", "ana", "owner", f"{utc_now():%Y-%m-%d}", "day, ana", "5.000000000", "  0%"):
        assert part in table, part
    assert "everybody" not in table
    assert lab.json("org", "show", shown["account"]["id"]) == shown
    assert "lab" in lab.run("org", "list").out


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (("create", "A Lab", "--owner", "buyer"), ("invalid_name", "name")),
        (("create", "lab", "--owner", "buyer"), ("account_exists", "name")),
        (("create", "lab-2", "--owner", "nobody"), ("unknown_account", "account")),
        (("create", "lab-2", "--owner", "lab"), ("not_a_person", "member")),
        (("show", "nowhere"), ("unknown_organisation", "organisation")),
        (("show", "buyer"), ("unknown_organisation", "organisation")),
        (("add", "lab", "nobody"), ("unknown_account", "member")),
        (("add", "lab", "lab"), ("not_a_person", "member")),
        (("add", "lab", "buyer", "--role", "member"), ("last_owner", "member")),
        (("remove", "lab", "buyer"), ("last_owner", "member")),
        (("remove", "lab", "nobody"), ("unknown_account", "member")),
        (("key", "lab", "ana"), ("unknown_member", "member")),
        (("list", "--account", "nobody"), ("unknown_account", "account")),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    lab: Cli, arguments: tuple[str, ...], refused: tuple[str, str]
) -> None:
    before = lab.json("org", "show", "lab")
    assert lab.refused("org", *arguments) == refused
    assert lab.json("org", "show", "lab") == before
    assert len(lab.json("org", "list")) == 1


def test_a_role_that_there_is_not_is_wrong_usage(lab: Cli) -> None:
    done = lab.run("org", "add", "lab", "ana", "--role", "king")
    assert (done.code, done.out) == (2, "")
    assert "owner" in done.err
    assert "swarmex org add --help" in done.err
