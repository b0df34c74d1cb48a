"""Accounts, keys and deposits from the command line."""

import pytest

from backend.domain.errors import Unauthenticated
from backend.services import api_keys
from tests.integration.cli.runner import Cli
from tests.market import Market


def test_an_account_is_found_by_its_name_and_by_its_id(cli: Cli) -> None:
    made = cli.json("account", "create", "acme")
    assert made["wallet"] == "0.000000000"
    assert cli.json("account", "show", "acme") == made
    assert cli.json("account", "show", made["id"]) == made
    assert made["id"] in cli.run("account", "show", "acme").out


def test_an_account_that_exists_or_does_not_is_refused(cli: Cli) -> None:
    cli.json("account", "create", "acme")
    assert cli.refused("account", "create", "acme") == ("account_exists", "name")
    assert cli.refused("account", "create", "A C M E") == ("invalid_name", "name")
    assert cli.refused("account", "show", "nobody") == ("unknown_account", "account")


@pytest.mark.usefixtures("market")
def test_accounts_are_listed_with_their_money_the_newest_first(cli: Cli) -> None:
    first, second = (cli.json("account", "create", name) for name in ("acme-lab", "acme"))
    cli.json("deposit", "acme", "12.5", "--reference", "a")
    listed = cli.json("account", "list")
    assert listed[:2] == [{**second, "wallet": "12.500000000", "available": "12.500000000"}, first]
    assert {account["name"] for account in listed} > {"buyer", "provider"}
    assert [account["name"] for account in cli.json("account", "list", "--search", "e-l")] == ["acme-lab"]
    assert "12.500000000" in cli.run("account", "list").out
    assert "There may be more" in cli.run("account", "list", "--limit", "1").err
    assert "No account has '%' in its name" in cli.run("account", "list", "--search", "%").err
    assert cli.refused("account", "list", "--limit", "0") == ("invalid_limit", "limit")


def test_a_key_opens_until_it_is_revoked(cli: Cli, market: Market) -> None:
    key = cli.json("key", "create", "buyer", "--role", "provider", "--label", "notebook")
    principal = api_keys.authenticate(market.app.uow(), key["secret"])
    assert (str(principal.account_id), principal.role) == (key["account"], "provider")
    assert cli.json("key", "revoke", key["key_id"]) == {"key_id": key["key_id"], "revoked": True}
    with pytest.raises(Unauthenticated):
        api_keys.authenticate(market.app.uow(), key["secret"])


def test_the_keys_of_an_account_are_listed_without_their_secrets(cli: Cli) -> None:
    cli.json("account", "create", "acme")
    assert "`swarmex key create acme` makes one" in cli.run("key", "list", "acme").err
    first, second = (cli.json("key", "create", "acme", "--label", label) for label in ("notebook", "pipeline"))
    cli.json("key", "revoke", first["key_id"])
    [living] = cli.json("key", "list", "acme")
    told = {name: value for name, value in second.items() if name != "secret"}
    assert {name: living[name] for name in told} == told
    shown = cli.run("key", "list", "acme", "--revoked").out
    assert "pipeline" in shown
    assert "notebook" in shown
    assert first["secret"] not in shown
    assert "There may be more" in cli.run("key", "list", "acme", "--limit", "1").err
    assert cli.refused("key", "list", "nobody") == ("unknown_account", "account")
    assert cli.refused("key", "list", "acme", "--limit", "0") == ("invalid_limit", "limit")


def test_a_secret_is_no_id_of_a_key(cli: Cli) -> None:
    assert cli.refused("key", "revoke", "swx_secret") == ("invalid_key", "key")
    assert cli.refused("key", "revoke", "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b") == ("unknown_key", "key")


def test_a_deposit_is_booked_once_per_reference(cli: Cli, market: Market) -> None:
    line = ("deposit", "provider", "12.5", "--reference", "invoice-1")
    first, again = cli.json(*line), cli.json(*line)
    assert (first["amount"], first["repeated"]) == ("12.500000000", False)
    assert again == {**first, "repeated": True}
    assert cli.json("account", "show", "provider")["available"] == "12.500000000"
    assert cli.refused("deposit", "provider", "13", "--reference", "invoice-1") == ("reference_reused", "reference")


@pytest.mark.parametrize("amount", ["1e5", "NaN", "0", "0.0000000001", "1,5", "99999999999999999999"])
def test_what_is_no_amount_is_refused(amount: str, cli: Cli, market: Market) -> None:
    assert cli.refused("deposit", "buyer", amount, "--reference", "r") == ("invalid_amount", "amount")
