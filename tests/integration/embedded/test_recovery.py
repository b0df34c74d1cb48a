"""What embedded servers survive: killed and hanging servers, stale files, taken ports, deleted folders."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend import embedded
from backend.embedded import EmbeddedServerFailed, places
from backend.embedded import lock as folder_lock
from backend.embedded import postgres as embedded_postgres
from backend.embedded import redis as embedded_redis
from backend.embedded.account import account_for
from backend.embedded.daemon import await_true
from tests.integration.embedded.servers import (
    ENSURE,
    ROOT,
    Listener,
    port_of,
    processes_of,
    query,
    redis_of,
    up_in,
    urls_of,
)
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.database, pytest.mark.redis]


def test_a_first_start_that_was_killed_midway_is_made_anew(fresh: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ENSURE, str(fresh)], cwd=ROOT, stdout=subprocess.DEVNULL) as killed:
        assert await_true((fresh / "postgresql.partial/base").exists, timeout_s=PATIENCE_S)
        killed.kill()
    up = up_in(fresh)
    assert up.started
    assert query(up, "SELECT 1") == 1
    assert not list(fresh.glob("*.partial"))


def test_killed_servers_are_replaced_and_committed_data_is_there(shared: Path) -> None:
    query(up_in(shared), "CREATE TABLE survivors AS SELECT 7 AS n")
    for server in processes_of(shared):
        server.kill()
    again = up_in(shared)
    assert again.started
    assert query(again, "SELECT n FROM survivors") == 7
    assert redis_of(again).ping()


def test_one_server_that_died_is_replaced_beside_the_other(shared: Path) -> None:
    up = up_in(shared)
    [redis_server] = [server for server in processes_of(shared) if "redis" in server.name()]
    redis_server.kill()
    assert embedded.find(shared) is None
    again = up_in(shared)
    assert (again.started, again.database_url) == (True, up.database_url)
    assert redis_of(again).ping()


def test_a_pid_file_that_names_a_foreign_process_harms_nobody(shared: Path) -> None:
    up_in(shared)
    embedded.stop(shared)
    account = account_for(shared / "postgresql")
    with subprocess.Popen(["sleep", "60"], user=account.uid, group=account.gid) as foreign:
        try:
            stale = f"{foreign.pid}\n{shared}/postgresql\n0\n5432\n\n127.0.0.1\n\nready\n"
            (shared / "postgresql/postmaster.pid").write_text(stale)
            (shared / "redis/redis.pid").write_text(f"{foreign.pid}\n")
            embedded.stop(shared)
            assert foreign.poll() is None
            assert up_in(shared).started
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_a_port_that_was_taken_meanwhile_is_left_to_its_new_owner(shared: Path) -> None:
    before = up_in(shared)
    embedded.stop(shared)
    heard: list[bytes] = []
    with Listener(port_of(before.database_url), heard), Listener(port_of(before.redis_url), heard):
        embedded.stop(shared)
        after = up_in(shared)
        assert query(after, "SELECT 1") == 1
        assert redis_of(after).ping()
    assert heard, "the listener was never asked"
    assert not any(b"SHUTDOWN" in request for request in heard)
    assert {port_of(url) for url in urls_of(before)}.isdisjoint({port_of(url) for url in urls_of(after)})


def test_servers_that_hang_are_killed_when_their_time_is_up(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis, "REPLY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(embedded_redis, "SHUTDOWN_TIMEOUT_S", 0.1)
    monkeypatch.setattr(embedded_redis, "SIGNALS", ((signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0)))
    steps = [(number, 0.1 if number != signal.SIGKILL else 5.0) for number, _ in embedded_postgres.SHUTDOWN]
    monkeypatch.setattr(embedded_postgres, "SHUTDOWN", tuple(steps))
    up_in(shared)
    for server in processes_of(shared):
        server.suspend()
    embedded.stop(shared)
    assert processes_of(shared) == []


def test_a_server_that_cannot_start_is_reported_with_the_end_of_its_log(shared: Path) -> None:
    up_in(shared)
    embedded.stop(shared)
    own_settings = shared / "postgresql/postgresql.auto.conf"
    valid = own_settings.read_text()
    own_settings.write_text("no_such_setting = 1\n")
    try:
        with pytest.raises(EmbeddedServerFailed) as failure:
            up_in(shared)
    finally:
        own_settings.write_text(valid)
    assert failure.value.server == "PostgreSQL"
    assert "no_such_setting" in failure.value.log_tail
    assert str(shared / "postgresql.log") in failure.value.remedy
    assert up_in(shared).started


def test_a_lock_that_is_never_released_is_an_error_not_a_wait_for_ever(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "LOCK_TIMEOUT_S", 0.1)
    with (fresh / places.LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedServerFailed, match=r"servers\.lock"):
            embedded.ensure(fresh)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers can lie outside their data folder")
def test_servers_whose_closed_data_folder_was_deleted_end_when_the_next_one_starts(tmp_path: Path) -> None:
    deleted, following = tmp_path / "deleted", tmp_path / "following"
    up_in(deleted)
    where = places.existing(deleted)
    assert where is not None
    assert len(processes_of(where.home)) == 2
    shutil.rmtree(deleted)
    try:
        assert query(up_in(following), "SELECT 1") == 1
        assert processes_of(where.home) == []
    finally:
        embedded.remove(following)
        shutil.rmtree(where.home)
