"""Redis alone hangs or dies: who needs the database only goes on, and the manager brings back what died."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agents.base import Identity
from agents.manager.agent import ManagerAgent
from backend import embedded
from backend.bootstrap import Settings, connect, new_id, utc_now
from backend.cli import main
from backend.domain.ids import AgentId
from tests.integration.embedded.servers import processes_of, redis_of, up_in, urls_of

pytestmark = [pytest.mark.database, pytest.mark.redis]


def redis_in(folder: Path) -> psutil.Process:
    [server] = [server for server in processes_of(folder) if "redis" in server.name()]
    return server


@pytest.fixture
def hung(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A market whose Redis does not answer."""
    monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(shared))
    connect(Settings(data_folder=shared)).close()
    server = redis_in(shared)
    server.send_signal(signal.SIGSTOP)
    yield shared
    server.send_signal(signal.SIGCONT)


def test_verbs_that_the_database_is_enough_for_go_on(hung: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["order", "list", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) is not None
    assert "Redis does not answer, this goes on without it" in shown.err
    assert "end of its log" not in shown.err


def test_the_doctor_tells_redis_from_the_database_and_looks_at_the_rest(
    hung: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json"]) == 1
    findings = {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["redis"]["verdict"] == "wrong"
    assert "redis.pid" in findings["redis"]["do"]
    assert findings["database"]["verdict"] == findings["ledger"]["verdict"] == "ok"


def test_only_what_was_up_and_died_is_revived_where_it_was(shared: Path, tmp_path: Path) -> None:
    before = up_in(shared)
    assert not embedded.revive(shared)
    redis_in(shared).kill()
    assert embedded.revive(shared)
    assert urls_of(up_in(shared)) == urls_of(before)
    assert not embedded.revive(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_the_manager_brings_back_a_redis_that_died(shared: Path) -> None:
    app = connect(Settings(data_folder=shared))
    manager = ManagerAgent(Identity.of_this_process(AgentId(new_id()), "manager"), app)
    manager.opened()
    redis_in(shared).kill()
    manager.tick(utc_now())
    found = embedded.find(shared)
    assert found is not None
    assert redis_of(found).ping()
    manager.drained()
    app.close()
