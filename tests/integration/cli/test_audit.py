"""The audit and the audit log from the command line."""

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.services import audit
from backend.storage.audit import Figure
from tests.integration.cli.runner import Cli
from tests.market import Market


@pytest.fixture
def tampered(market: Market) -> Market:
    """A market in which somebody gave the provider five nano-credits by hand."""
    with market.app.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE ledger_accounts SET posted_nano = 5"
                " WHERE kind = 'earnings' AND owner_id = (SELECT id FROM accounts WHERE name = 'provider')"
            )
        )
    return market


@pytest.mark.parametrize("options", [(), ("--exact",), ("--incremental",), ("--account", "buyer")])
def test_books_in_order_are_told_in_a_line(cli: Cli, market: Market, options: tuple[str, ...]) -> None:
    done = cli.json("ledger", "audit", *options)
    assert (done["ok"], done["differences"], done["sum"]) == (True, [], "0.000000000")
    assert done["mode"] == ("incremental" if options == ("--incremental",) else "full")
    assert cli.run("ledger", "audit", *options).out.startswith("ledger audit: OK (")


@pytest.mark.parametrize("options", [(), ("--exact",), ("--incremental",)])
def test_a_difference_is_told_with_its_meaning_and_exits_with_1(
    cli: Cli, tampered: Market, options: tuple[str, ...]
) -> None:
    plain = cli.run("ledger", "audit", *options)
    assert plain.code == 1
    assert plain.out.startswith("ledger audit: DIFFERENCES (")
    assert "earnings balance" in plain.out
    assert "provider" in plain.out
    done = cli.run("ledger", "audit", *options, "--json")
    assert done.code == 1
    earnings, total = done.document["differences"]
    assert (earnings["what"], earnings["about"], earnings["recorded"], earnings["computed"]) == (
        "earnings balance",
        "provider",
        "0.000000005",
        "0.000000000",
    )
    assert earnings["meaning"] == audit.MEANINGS[Figure.BALANCE]
    assert total["what"] == "sum of all balances"


def test_one_account_is_audited_by_its_name(cli: Cli, tampered: Market) -> None:
    bad = cli.run("ledger", "audit", "--account", "provider", "--json")
    assert (bad.code, bad.document["differences"][0]["about"]) == (1, "provider")
    assert cli.refused("ledger", "audit", "--account", "nobody") == ("unknown_account", "account")


def test_what_an_incremental_audit_cannot_do_is_refused(cli: Cli, market: Market) -> None:
    assert cli.refused("ledger", "audit", "--incremental", "--exact") == ("invalid_form", "incremental")
    assert cli.refused("ledger", "audit", "--incremental", "--account", "buyer") == ("invalid_form", "incremental")


def test_a_full_audit_is_kept_for_the_metrics_and_one_of_an_account_is_not(cli: Cli, market: Market) -> None:
    cli.json("ledger", "audit", "--account", "buyer")
    assert runs(market) == []
    cli.json("ledger", "audit")
    assert runs(market) == ["full"]
    cli.json("ledger", "audit", "--incremental")
    assert runs(market) == ["full", "incremental"]


def runs(market: Market) -> list[str]:
    with market.app.uow() as uow:
        return [run.mode for run in uow.audit_runs.newest()]


def test_the_log_is_listed_by_actor_action_and_subject(cli: Cli, market: Market) -> None:
    made = cli.json("account", "create", "acme")
    [told] = cli.json("log", "list", "--action", "account.create", "--limit", "1")
    assert told["subject"] == f"account {made['id']}"
    assert told["details"]["name"] == "acme"
    assert (told["actor"], told["key"]) == (None, None)
    assert told["at"] <= utc_now().isoformat()
    shown = cli.run("log", "list", "--subject", f"account {made['id']}").out
    assert "(operator)" in shown
    assert "account.create" in shown
    cli.json("deposit", "acme", "2.5", "--reference", "first")
    assert "amount 2.500000000" in cli.run("log", "list", "--action", "deposit.", "--limit", "1").out
    assert cli.json("log", "list", "--actor", "acme") == []
    older = cli.json("log", "list", "--before", told["id"])
    assert told not in older
    assert older


def test_the_log_of_nobody_or_too_much_of_it_is_refused(cli: Cli, market: Market) -> None:
    assert cli.refused("log", "list", "--actor", "nobody") == ("unknown_account", "account")
    assert cli.refused("log", "list", "--limit", "0") == ("invalid_limit", "limit")
    assert cli.refused("log", "list", "--before", "yesterday") == ("invalid_entry", "entry")
