"""`swarmex restore`: what was backed up is there again, and goes on."""

import hashlib
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from backend import embedded
from backend.bootstrap import downgrade, latest_revision
from backend.services import audit
from tests.backups import Elsewhere, await_rounds, contents_of, leave, look, make, schema_of, trading
from tests.integration.cli.runner import Cli
from tests.market import Market

LAST_ACTION = "SELECT action FROM audit_log ORDER BY id DESC LIMIT 1"


def test_a_restored_market_is_the_same_and_goes_on(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    market.node("a", slots=8)
    market.place(2)
    market.run(market.executor())
    leased = market.place(1)
    market.clear()
    waiting = market.place(1)
    before = contents_of(market.app.database_url)
    made = make(market, tmp_path / "made")
    restored = cli.json("restore", tmp_path / "made")
    assert restored["audit"]["ok"] is True
    assert restored["totals"] == made.totals
    assert schema_of(elsewhere.database_url) == schema_of(market.app.database_url)
    after = contents_of(elsewhere.database_url)
    assert {name for name in before if before[name] != after[name]} <= {"audit_log", "audit_runs"}
    again = elsewhere.market()
    assert look(elsewhere.database_url, LAST_ACTION) == "backup.restore"
    assert look(elsewhere.database_url, "SELECT mode FROM audit_runs WHERE ok ORDER BY id DESC LIMIT 1") == "full"
    assert [again.show(order).state for order in (*leased, *waiting)] == ["running", "open"]
    executor = again.executor()
    new = again.place(2)
    again.run(executor)
    assert {again.show(order).state for order in (*leased, *waiting, *new)} == {"settled"}
    assert audit.audit_ledger(again.app.uow()).ok
    leave(again)


def test_a_backup_made_while_orders_are_settled_restores_to_books_in_order(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    with trading(market) as rounds:
        await_rounds(rounds, 2)
        made = make(market, tmp_path / "made")
    restored = cli.json("restore", tmp_path / "made")
    assert (restored["audit"]["ok"], restored["totals"]) == (True, made.totals)
    assert int(made.totals["transfers"]) > 3


def test_objects_come_back_whole(cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path) -> None:
    make(market, tmp_path / "made")
    cli.json("restore", tmp_path / "made")
    content = (elsewhere.folder / "objects" / market.model.ref.uri).read_bytes()
    assert hashlib.sha256(content).hexdigest() == market.model.ref.checksum


def test_a_backup_of_an_older_version_is_migrated(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    downgrade(market.app.database_url, "0001")
    make(market, tmp_path / "made")
    assert cli.json("restore", tmp_path / "made")["audit"]["ok"] is True
    assert look(elsewhere.database_url, "SELECT version_num FROM alembic_version") == latest_revision()
    again = elsewhere.market()
    again.node("a")
    [order] = again.place(1)
    again.run(again.executor())
    assert again.show(order).state == "settled"
    assert audit.audit_ledger(again.app.uow()).ok
    leave(again)


def test_a_server_that_never_knew_the_node_role_gets_it_with_its_rights(
    cli: Cli, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(market, tmp_path / "made")
    home = tmp_path / "servers"
    home.mkdir()
    try:
        url = embedded.ensure(home, durable=False).database_url
        assert look(url, "SELECT count(*) FROM pg_roles WHERE rolname = 'swarmex_node'") == 0
        monkeypatch.setenv("SWARMEX_DATABASE_URL", url)
        monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(tmp_path / "elsewhere"))
        assert cli.json("restore", tmp_path / "made")["audit"]["ok"] is True
        assert look(url, "SELECT has_function_privilege('swarmex_node', 'work_claim(uuid, uuid)', 'EXECUTE')") is True
        assert look(url, "SELECT has_table_privilege('swarmex_node', 'work_items', 'SELECT')") is False
        assert schema_of(url) == schema_of(market.app.database_url)
    finally:
        embedded.remove(home)


def test_an_owner_who_may_not_make_roles_is_told_which_one_is_needed(
    cli: Cli, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(market, tmp_path / "made")
    home = tmp_path / "servers"
    home.mkdir()
    try:
        url = embedded.ensure(home, durable=False).database_url
        plain = make_url(url).set(username="plain", password="plain", database="plain")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
            admin.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
            admin.execute("CREATE DATABASE plain OWNER plain")
            monkeypatch.setenv("SWARMEX_DATABASE_URL", plain.render_as_string(hide_password=False))
            monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(tmp_path / "elsewhere"))
            assert cli.refused("restore", tmp_path / "made")[0] == "no_node_role"
            admin.execute("CREATE ROLE swarmex_node NOLOGIN")
            assert cli.json("restore", tmp_path / "made")["audit"]["ok"] is True
    finally:
        embedded.remove(home)


def test_a_market_moves_to_a_folder_with_servers_of_its_own(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "NODE_DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"SWARMEX_{name}")
    old, new = tmp_path / "old", tmp_path / "new"
    try:
        monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(old))
        assert cli.run("init").code == 0
        cli.json("account", "create", "acme")
        cli.json("deposit", "acme", "10", "--reference", "first")
        made = cli.json("backup", tmp_path / "made")
        monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(new))
        assert cli.run("restore", tmp_path / "made").code == 0
        assert cli.json("account", "show", "acme")["wallet"] == "10.000000000"
        assert cli.run("backup", tmp_path / "again", "--json").document["totals"] == made["totals"]
    finally:
        for folder in (old, new):
            embedded.remove(folder)
