"""A backup that is not whole, or a place that cannot take it: refused by its code, and everything is as it was."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from backend.bootstrap import migrate, utc_now
from backend.domain import backups
from backend.services import audit, deposits
from backend.storage import dump
from tests.backups import Elsewhere, contents_of, leave, look, make, rewrite, schema_of
from tests.integration.cli.runner import Cli
from tests.market import Market


class Terminal(io.StringIO):
    """Somebody who types an answer."""

    def isatty(self) -> bool:
        """As `sys.stdin` of a terminal says."""
        return True


@pytest.mark.parametrize(("name", "code"), [("database.dump", "dump_damaged"), ("objects/*/*", "object_damaged")])
def test_a_damaged_backup_is_refused_and_nothing_is_written(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path, name: str, code: str
) -> None:
    make(market, tmp_path / "made")
    (file,) = (tmp_path / "made").glob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert cli.refused("backup", "--verify", tmp_path / "made") == (code, "folder")
    assert cli.refused("restore", tmp_path / "made") == (code, "folder")
    file.write_bytes(content[:-1])
    assert cli.refused("restore", tmp_path / "made") == (code, "folder")
    file.unlink()
    assert cli.refused("backup", "--verify", tmp_path / "made") == ("file_missing", "folder")
    assert cli.refused("restore", tmp_path / "made") == ("file_missing", "folder")
    assert elsewhere.is_untouched()


def test_a_changed_manifest_and_one_of_another_format_are_refused(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    make(market, tmp_path / "made")
    file = tmp_path / "made" / "manifest.json"
    whole = file.read_text()
    file.write_text(whole.replace("1000.0", "9000.0"))
    assert cli.refused("restore", tmp_path / "made") == ("manifest_damaged", "folder")
    file.write_text(json.dumps({**json.loads(whole), "format": 2}))
    assert cli.refused("restore", tmp_path / "made") == ("unknown_backup_format", "folder")
    assert elsewhere.is_untouched()


def test_a_backup_of_a_later_version_is_refused_with_what_to_install(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    rewrite(make(market, tmp_path / "made"), tmp_path / "made", schema="9999")
    assert cli.refused("restore", tmp_path / "made") == ("newer_schema", "folder")
    assert "Swarmex 1.2.3 or later" in cli.run("restore", tmp_path / "made").err
    assert elsewhere.is_untouched()


def test_a_backup_of_a_newer_server_is_refused(cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path) -> None:
    rewrite(make(market, tmp_path / "made"), tmp_path / "made", server_major=99)
    assert cli.refused("restore", tmp_path / "made") == ("older_server", "SWARMEX_DATABASE_URL")
    assert elsewhere.is_untouched()


def test_totals_that_are_not_the_backups_are_an_error_and_what_was_there_is_put_back(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    made = make(market, tmp_path / "made")
    rewrite(made, tmp_path / "made", totals={**made.totals, "accounts": "3"})
    migrate(elsewhere.database_url)
    before = contents_of(elsewhere.database_url)
    assert cli.refused("restore", tmp_path / "made")[0] == "totals_differ"
    assert "accounts: 3 in the backup, 2 restored" in cli.run("restore", tmp_path / "made").err
    assert contents_of(elsewhere.database_url) == before
    assert schema_of(elsewhere.database_url) == schema_of(market.app.database_url)


def test_books_that_were_in_order_and_are_not_any_more_are_not_restored(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    assert audit.audit_ledger(market.app.uow()).ok
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'wallet'"))
    made = make(market, tmp_path / "made")
    assert made.audit
    done = cli.run("restore", tmp_path / "made", "--json")
    assert (done.code, done.document["audit"]["ok"]) == (1, False)  # as they were: restored, and told
    assert "wallet balance" in {found["what"] for found in done.document["audit"]["differences"]}
    rewrite(made, tmp_path / "made", audit=backups.Audited(True, 1, 1, 1))
    assert cli.refused("restore", tmp_path / "made", "--replace", "--yes")[0] == "audit_failed"
    assert look(elsewhere.database_url, "SELECT count(*) FROM accounts") == 2


def test_an_audit_that_finds_otherwise_than_the_backups_is_an_error(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'wallet'"))
    made = make(market, tmp_path / "made")
    assert made.audit
    for changes in ({"transfers": made.audit.transfers + 1}, {"differences": made.audit.differences[1:]}):
        rewrite(made, tmp_path / "made", audit=replace(made.audit, **changes))
        assert cli.refused("restore", tmp_path / "made") == ("audit_differs", "folder")
        assert elsewhere.is_empty()


def test_a_market_is_given_up_only_when_that_is_said(
    cli: Cli, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(market, tmp_path / "made")
    deposits.deposit(market.app.uow(), utc_now(), market.buyer.account_id, 5, "after the backup")
    url = market.app.database_url
    leave(market)
    before = contents_of(url)
    assert cli.refused("restore", tmp_path / "made") == ("market_not_empty", "--replace")
    assert cli.refused("restore", tmp_path / "made", "--replace") == ("confirmation_needed", "--yes")
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    declined = cli.run("restore", tmp_path / "made", "--replace")
    assert (declined.code, "2 accounts" in declined.err) == (130, True)
    assert contents_of(url) == before
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert cli.run("restore", tmp_path / "made", "--replace").code == 0
    assert look(url, "SELECT count(*) FROM transfers") == 1
    assert look(url, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'swarmex%'") == 0
    assert cli.json("restore", tmp_path / "made", "--replace", "--yes")["replaced_accounts"] == 2
    assert cli.json("ledger", "audit")["ok"] is True


def test_a_market_that_runs_is_not_replaced(cli: Cli, market: Market, tmp_path: Path) -> None:
    make(market, tmp_path / "made")
    market.wallet()  # a connection is open
    assert cli.refused("restore", tmp_path / "made", "--replace", "--yes") == ("market_running", None)
    leave(market)
    assert cli.run("restore", tmp_path / "made", "--replace", "--yes").code == 0


def test_a_dump_that_cannot_be_restored_leaves_everything_as_it_was(cli: Cli, market: Market, tmp_path: Path) -> None:
    made = make(market, tmp_path / "made")
    url = market.app.database_url
    (tmp_path / "made" / "database.dump").write_bytes(b"PGDMP, or not")
    rewrite(made, tmp_path / "made", dump=backups.Kept(hashlib.sha256(b"PGDMP, or not").hexdigest(), 13))
    deposits.deposit(market.app.uow(), utc_now(), market.buyer.account_id, 5, "after the backup")
    leave(market)
    before = contents_of(url)
    assert cli.refused("restore", tmp_path / "made", "--replace", "--yes")[0] == "postgres_program_failed"
    assert contents_of(url) == before


def test_a_restore_that_was_killed_is_undone_by_the_next(cli: Cli, market: Market, tmp_path: Path) -> None:
    make(market, tmp_path / "made")
    url = market.app.database_url
    with market.app.uow() as uow:
        uow.replacements.set_aside()  # and then the power failed
        uow.commit()
    leave(market)
    assert look(url, "SELECT to_regclass('public.accounts') IS NULL")
    assert cli.refused("restore", tmp_path / "made") == ("market_not_empty", "--replace")
    assert cli.json("ledger", "audit")["transfers"] == 1


def test_a_restore_that_takes_too_long_puts_back_what_was_there(
    cli: Cli, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(market, tmp_path / "made")
    url = market.app.database_url
    leave(market)
    before = contents_of(url)
    monkeypatch.setattr(dump, "RESTORE_TIMEOUT_S", -1)
    assert cli.refused("restore", tmp_path / "made", "--replace", "--yes")[0] == "timed_out"
    assert contents_of(url) == before


def test_a_file_of_the_store_that_is_another_one_is_overwritten_only_when_that_is_said(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    make(market, tmp_path / "made")
    file = elsewhere.folder / "objects" / market.model.ref.uri
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another")
    assert cli.refused("restore", tmp_path / "made") == ("objects_differ", "--replace")
    assert file.read_bytes() == b"another"
    cli.json("restore", tmp_path / "made", "--replace")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == market.model.ref.checksum


def test_an_object_store_that_takes_nothing_is_told_before_the_database_is_touched(
    cli: Cli, market: Market, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    make(market, tmp_path / "made")
    elsewhere.folder.mkdir()
    (elsewhere.folder / "objects").touch()  # where a folder should be
    assert cli.refused("restore", tmp_path / "made") == ("copy_failed", "SWARMEX_OBJECTS_URL")
    assert look(elsewhere.database_url, "SELECT to_regclass('public.accounts') IS NULL") is True
