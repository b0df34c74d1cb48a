"""`swarmex backup`: a copy of one moment, that can be checked by itself."""

import json
from pathlib import Path

import psutil
import pytest
from sqlalchemy import URL, make_url, text

from backend.bootstrap import downgrade, latest_revision, new_id
from backend.domain.errors import Unavailable
from backend.services import backup
from backend.storage import dump
from tests.backups import await_rounds, look, make, trading
from tests.integration.cli.runner import Cli
from tests.market import Market

LAST_ACTION = "SELECT action FROM audit_log ORDER BY id DESC LIMIT 1"


def url_as(market: Market, role: str, password: str) -> str:
    """The market's database for somebody else."""
    url = make_url(market.app.database_url).set(username=role, password=password)
    return url.render_as_string(hide_password=False)


def test_a_backup_says_what_it_holds(cli: Cli, market: Market, tmp_path: Path) -> None:
    made = cli.run("backup", tmp_path / "made", "--json").document
    assert made["schema"] == latest_revision()
    assert (made["audit"]["ok"], made["audit"]["transfers"], made["objects"]) == (True, 1, 1)
    assert (made["totals"]["accounts"], made["totals"]["deposit transfers"]) == ("2", "1000.000000000")
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert (manifest["format"], manifest["dump"]["sha256"]) == (1, made["dump_sha256"])
    assert manifest["objects"][market.model.ref.uri]["sha256"] == market.model.ref.checksum
    assert (tmp_path / "made" / "objects" / market.model.ref.uri).is_file()
    assert look(market.app.database_url, LAST_ACTION) == "backup.make"


def test_only_its_owner_can_read_a_backup(market: Market, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir(mode=0o755)
    make(market, tmp_path / "made")
    for name in ("database.dump", "manifest.json", "objects"):
        assert (tmp_path / "made" / name).stat().st_mode & 0o077 == 0


def test_a_backup_is_checked_without_a_database(
    cli: Cli, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(market, tmp_path / "made")
    monkeypatch.setenv("SWARMEX_DATABASE_URL", "postgresql+psycopg://nobody:x@127.0.0.1:1/nothing")
    assert cli.json("backup", "--verify", tmp_path / "made")["verified"] is True


def test_a_folder_with_something_in_it_is_not_written_over(cli: Cli, market: Market, tmp_path: Path) -> None:
    make(market, tmp_path / "made")
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*"))
    assert cli.refused("backup", tmp_path / "made") == ("folder_not_empty", "folder")
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*")) == before


def test_a_backup_does_not_go_into_the_store_that_it_copies(cli: Cli, market: Market) -> None:
    assert cli.refused("backup", market.app.folder / "objects" / "made") == ("folder_in_use", "folder")


def test_a_folder_that_cannot_be_made_is_told(cli: Cli, market: Market, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert cli.refused("backup", tmp_path / "file" / "made") == ("folder_not_writable", "folder")


def test_an_interrupted_backup_leaves_nothing(market: Market, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int | None) -> None:
        if what == backup.OBJECTS:
            assert (tmp_path / "made" / "database.dump").stat().st_size > 0
            assert not (tmp_path / "made" / "manifest.json").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(market, tmp_path / "made", interrupt)
    assert not (tmp_path / "made").exists()


def test_a_backup_whose_process_was_killed_is_none(cli: Cli, market: Market, tmp_path: Path) -> None:
    make(market, tmp_path / "made")
    (tmp_path / "made" / "manifest.json").rename(tmp_path / "made" / "manifest.partial")
    assert cli.refused("backup", "--verify", tmp_path / "made") == ("incomplete_backup", "folder")
    assert cli.refused("restore", tmp_path / "made") == ("incomplete_backup", "folder")
    assert cli.refused("backup", "--verify", tmp_path / "nowhere") == ("no_backup", "folder")


def test_a_model_file_that_is_lost_or_damaged_is_told_instead_of_backed_up(
    cli: Cli, market: Market, tmp_path: Path
) -> None:
    file = market.app.folder / "objects" / market.model.ref.uri
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")
    assert cli.refused("backup", tmp_path / "made") == ("model_file_damaged", "objects")
    file.unlink()
    assert cli.refused("backup", tmp_path / "made") == ("model_file_missing", "objects")
    assert not (tmp_path / "made").exists()
    file.write_bytes(whole)
    assert cli.json("backup", tmp_path / "made")["objects"] == 1


def test_a_backup_of_books_that_are_not_in_order_is_made_and_says_so(cli: Cli, market: Market, tmp_path: Path) -> None:
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'wallet'"))
    done = cli.run("backup", tmp_path / "made", "--json")
    assert (done.code, done.document["audit"]["ok"]) == (1, False)
    assert any("wallet balance" in told for told in done.document["audit"]["differences"])
    assert cli.run("backup", "--verify", tmp_path / "made").code == 0


def test_a_market_of_an_older_schema_is_backed_up_before_it_is_migrated(
    cli: Cli, market: Market, tmp_path: Path
) -> None:
    downgrade(market.app.database_url, "0001")
    made = cli.json("backup", tmp_path / "made")
    assert (made["schema"], made["audit"]) == ("0001", None)


def test_a_database_without_a_market_and_one_of_a_later_version_are_refused(
    cli: Cli, market: Market, tmp_path: Path
) -> None:
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert cli.refused("backup", tmp_path / "made")[0] == "newer_schema"
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :latest"), {"latest": latest_revision()})
    downgrade(market.app.database_url, "base")
    assert cli.refused("backup", tmp_path / "made")[0] == "not_initialised"
    assert not (tmp_path / "made").exists()


def test_the_password_is_not_shown_to_other_users(market: Market, tmp_path: Path) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    def look(what: str, done: int, total: int | None) -> None:
        for child in psutil.Process().children():
            if child.name() == "pg_dump" and child.status() != psutil.STATUS_ZOMBIE:
                seen.append((child.cmdline(), child.environ()))

    make(market, tmp_path / "made", look)
    password = make_url(market.app.database_url).password
    assert password
    assert seen
    for line, environment in seen:
        assert password not in " ".join(line)
        assert not any(password in value for value in environment.values())
        assert not Path(environment["PGPASSFILE"]).exists()  # it ended with the program


def test_a_dump_that_takes_too_long_is_ended(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "DUMP_TIMEOUT_S", -1)
    with pytest.raises(Unavailable, match="did not end") as refused:
        make(market, tmp_path / "made")
    assert refused.value.code == "timed_out"
    assert not [child for child in psutil.Process().children() if child.name() == "pg_dump"]
    assert not (tmp_path / "made").exists()


def test_what_pg_dump_complains_of_is_told_without_the_password(market: Market, tmp_path: Path) -> None:
    wrong = url_as(market, "swarmex", "wrong:\\word")
    with pytest.raises(dump.ProgramFailed, match="password authentication failed") as refused:
        make(market, tmp_path / "made", database_url=wrong)
    assert "word" not in refused.value.message.replace("password", "")


def test_a_password_of_any_characters_is_told_to_the_programs(market: Market, tmp_path: Path) -> None:
    role, strange = f"reader_{new_id().hex}", "a:b\\c d'é "
    with market.app.engine.begin() as connection:
        secret = strange.replace("'", "''")
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD '{secret}'")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        connection.exec_driver_sql(f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
    try:
        made = make(market, tmp_path / "made", database_url=url_as(market, role, strange))
    finally:
        with market.app.engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")
    assert made.dump.size_bytes > 0


def test_a_password_in_a_file_of_the_operators_own_is_found(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(market.app.database_url)
    passfile = tmp_path / "passfile"
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:*:*:{url.password}\n")
    named = URL.create(
        url.drivername, url.username, None, url.host, url.port, url.database, {"passfile": str(passfile)}
    )
    assert make(market, tmp_path / "made", database_url=named.render_as_string()).dump.size_bytes > 0
    monkeypatch.setenv("PGPASSWORD", "of another server")
    assert make(market, tmp_path / "again").dump.size_bytes > 0


def test_a_backup_is_of_one_moment_while_the_market_goes_on(market: Market, tmp_path: Path) -> None:
    with trading(market) as rounds:
        began: list[int] = []

        def until_traded(what: str, done: int, total: int | None) -> None:
            began[:] = began or [len(rounds)]
            if what == backup.DATABASE:
                await_rounds(rounds, began[0] + 2)

        made = make(market, tmp_path / "made", until_traded)
        with market.app.uow() as uow:
            now = uow.backups.totals()
    assert int(now["orders"]) >= int(made.totals["orders"]) + 3
    assert made.audit
    assert made.audit.ok
    assert (made.audit.transfers, made.audit.holds) == (int(made.totals["transfers"]), int(made.totals["holds"]))
    backup.verify_backup(tmp_path / "made")
