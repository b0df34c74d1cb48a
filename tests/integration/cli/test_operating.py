"""Setting up, examining and auditing a deployment from the command line."""

import socket
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from backend.bootstrap import downgrade, utc_now
from backend.cli.servers import require_free_port
from backend.domain.errors import Conflict
from backend.services import api_keys, audit
from tests.integration.cli.runner import Cli
from tests.market import Market


def test_init_migrates_and_makes_an_admin_key_once(cli: Cli, database_url: str) -> None:
    downgrade(database_url, "base")
    first = cli.json("init")
    assert first["account"] == "operator"
    assert first["admin_key"].startswith("swx_")
    again = cli.json("init")
    assert (again["admin_key"], again["schema"]) == (None, first["schema"])
    assert "swarmex key create operator --role admin" in cli.run("init").err


def test_the_first_key_is_an_admin(cli: Cli, market: Market) -> None:
    secret = cli.json("init")["admin_key"]
    assert api_keys.authenticate(market.app.uow(), secret).role == "admin"


def test_the_audit_fails_when_a_balance_was_changed_by_hand(cli: Cli, market: Market, database_url: str) -> None:
    good = cli.json("ledger", "audit")
    assert (good["ok"], good["differences"]) == (True, [])
    assert cli.run("ledger", "audit").out.startswith("ledger audit: OK")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'wallet'"))
    engine.dispose()
    bad = cli.run("ledger", "audit", "--json")
    assert (bad.code, bad.document["ok"]) == (1, False)
    assert {"wallet balance", "sum of all balances"} <= {d["what"] for d in bad.document["differences"]}
    shown = cli.run("ledger", "audit")
    assert shown.code == 1
    assert "wallet balance" in shown.out


def test_the_doctor_finds_what_does_not_run_and_a_ledger_that_does_not_add_up(cli: Cli, market: Market) -> None:
    market.app.folder.mkdir(exist_ok=True)
    done = cli.run("doctor", "--json")
    found = {f["what"]: f for f in done.document["findings"]}
    assert (done.code, done.document["ok"]) == (1, False)
    assert [found[what]["verdict"] for what in ("database", "ledger", "nodes")] == ["ok", "ok", "note"]
    assert [found[what]["verdict"] for what in ("manager", "api")] == ["wrong", "wrong"]
    assert all(f["do"] for f in found.values() if f["verdict"] != "ok")
    assert "`swarmex up`" in cli.run("doctor").out


def test_the_doctor_tells_when_the_books_were_last_audited_and_what_that_found(cli: Cli, market: Market) -> None:
    def told() -> tuple[str, str]:
        [finding] = [f for f in cli.run("doctor", "--json").document["findings"] if f["what"] == "audit"]
        return finding["verdict"], finding["found"]

    assert told() == ("note", "nothing was audited yet")
    audit.audit_recent(market.app.uow(), utc_now() - timedelta(hours=2))
    assert told()[0] == "note"
    audit.audit_recent(market.app.uow(), utc_now())
    assert told()[0] == "ok"
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'wallet'")
    audit.audit_recent(market.app.uow(), utc_now())
    assert told()[0] == "wrong"


def test_the_doctor_tells_of_a_restore_that_was_interrupted(cli: Cli, market: Market) -> None:
    with market.app.uow() as uow:
        uow.replacements.set_aside()
        uow.commit()
    [finding] = [f for f in cli.run("doctor", "--json").document["findings"] if f["what"] == "database"]
    assert finding["verdict"] == "wrong"
    assert "restore was interrupted" in finding["found"]
    assert "swarmex init" not in finding["do"]


def test_a_model_registered_again_mends_its_file_in_the_store(cli: Cli, market: Market, tmp_path: Path) -> None:
    stored = tmp_path / "data" / "objects" / market.model.ref.uri
    whole = stored.read_bytes()
    file = tmp_path / "doubling.onnx"
    file.write_bytes(whole)
    stored.write_bytes(whole[:-1])
    assert cli.json("model", "register", "doubling", file)["version"] == 1
    assert stored.read_bytes() == whole
    stored.unlink()
    cli.json("model", "register", "other", file)
    assert stored.read_bytes() == whole


def test_the_doctor_names_a_schema_that_is_behind(cli: Cli, market: Market, database_url: str) -> None:
    downgrade(database_url, "base")
    found = {f["what"]: f for f in cli.run("doctor", "--json").document["findings"]}
    assert found["database"]["verdict"] == "wrong"
    assert "swarmex init" in found["database"]["do"]
    assert "ledger" not in found
    assert cli.refused("order", "list") == ("database_error", None)


def test_a_database_that_is_away_is_told_in_words(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMEX_DATABASE_URL", "postgresql+psycopg://nobody:x@127.0.0.1:1/nothing")
    assert cli.refused("order", "list")[0] == "coordinator_unreachable"
    found = {f["what"]: f for f in cli.run("doctor", "--json").document["findings"]}
    assert found["database"]["verdict"] == "wrong"
    assert "SWARMEX_DATABASE_URL" in found["database"]["do"]


def test_the_api_does_not_start_on_a_port_that_is_taken(
    cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SWARMEX_API_PORT", str(port))
        assert cli.refused("api") == ("port_taken", "SWARMEX_API_PORT")
        assert cli.refused("up") == ("port_taken", "SWARMEX_API_PORT")
        with pytest.raises(Conflict):
            require_free_port(market.app.settings.model_copy(update={"api_port": port}))
    require_free_port(market.app.settings.model_copy(update={"api_port": port}))
