"""PostgreSQL and Redis in a data folder: started, shared, protected, stopped, found again."""

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from backend import embedded
from backend.embedded import Servers, binaries, places
from backend.embedded.account import Account, account_for
from tests.integration.embedded.servers import (
    conninfo_of,
    ensure_in_a_process,
    link_packages,
    port_of,
    processes_of,
    query,
    redis_of,
    up_in,
    urls_of,
)

pytestmark = [pytest.mark.database, pytest.mark.redis]


def test_durability_is_given_up_only_when_asked(fresh: Path) -> None:
    fast = embedded.ensure(fresh, durable=False)
    settings = ("fsync", "synchronous_commit", "full_page_writes")
    assert {query(fast, f"SHOW {name}") for name in settings} == {"off"}
    embedded.stop(fresh)
    safe = embedded.ensure(fresh)
    assert {query(safe, f"SHOW {name}") for name in settings} == {"on"}
    assert query(safe, "SHOW max_connections") == "300"


def test_servers_start_answer_and_are_reused_by_the_next_call(shared: Path) -> None:
    first = up_in(shared)
    assert query(first, "SELECT current_user || '@' || current_database()") == "swarmex@swarmex"
    assert redis_of(first).ping()
    second = up_in(shared)
    assert (second.started, urls_of(second)) == (False, urls_of(first))
    found = embedded.find(shared)
    assert found is not None
    assert urls_of(found) == urls_of(first)


def test_two_processes_that_start_at_once_get_one_pair_that_outlives_them(fresh: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        printed = list(both.map(lambda _: ensure_in_a_process(fresh), range(2)))
    assert sorted(started for started, *_ in printed) == ["False", "True"]
    assert printed[0][1:] == printed[1][1:]
    assert ensure_in_a_process(fresh) == ["False", *printed[0][1:]]
    servers = processes_of(fresh)
    assert len(servers) == 2
    assert all(os.getsid(server.pid) != os.getsid(0) for server in servers), "Ctrl-C would reach them"


def test_stop_leaves_no_process_and_a_restart_keeps_data_and_address(shared: Path) -> None:
    before = up_in(shared)
    query(before, "CREATE TABLE kept AS SELECT 42 AS answer")
    embedded.stop(shared)
    assert processes_of(shared) == []
    assert embedded.find(shared) is None
    embedded.stop(shared)
    after = up_in(shared)
    assert (after.started, urls_of(after)) == (True, urls_of(before))
    assert query(after, "SELECT answer FROM kept") == 42


def test_both_servers_ask_for_a_password(shared: Path) -> None:
    up = up_in(shared)
    for wrong in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match=r"password"):
            psycopg.connect(conninfo_of(up), password=wrong, connect_timeout=60)
    with socket.create_connection(("127.0.0.1", port_of(up.redis_url)), timeout=60) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")


def test_passwords_are_in_files_of_their_owner_only_and_on_no_command_line(shared: Path) -> None:
    up = up_in(shared)
    passwords = [url.split(":")[2].split("@")[0] for url in urls_of(up)]
    lines = [" ".join(server.cmdline()) for server in processes_of(shared)]
    holders = []
    for path in (path for path in shared.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if any(password.encode() in content for password in passwords):
            holders.append(path.name)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert sorted(holders) == ["redis.conf", "servers.json"]
    assert not any(password in line for password in passwords for line in [*lines, repr(up)])


def test_finding_and_stopping_in_an_unused_folder_leave_it_untouched(tmp_path: Path) -> None:
    assert embedded.find(tmp_path) is None
    embedded.stop(tmp_path)
    embedded.remove(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_below_a_closed_folder_the_servers_work_and_the_folder_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "data"
    link_packages(closed)  # as when the whole checkout lies there
    try:
        started, database_url, redis_url = ensure_in_a_process(data, packages=closed)
        assert started == "True"
        up = Servers(database_url, redis_url, started=True)
        assert query(up, "SELECT 1") == 1
        assert redis_of(up).ping()
        where = places.existing(data)
        assert where is not None
        outside = where.home.is_relative_to(places.SYSTEM_FOLDER)
        assert outside == (os.geteuid() == 0), "only root runs the servers as another account"
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        embedded.remove(data)
    assert processes_of(where.home) == []
    assert not where.cluster.exists()
    assert not outside or not where.home.exists()


def test_programs_are_copied_once_when_several_ask_at_once(fresh: Path) -> None:
    wheel = Path(psycopg.__file__).parents[1] / binaries.POSTGRES_WHEEL
    sources = {wheel.name: wheel, f"{wheel.name}.libs": wheel.with_name(f"{wheel.name}.libs")}
    trees = {name: source for name, source in sources.items() if source.exists()}
    with ThreadPoolExecutor(3) as pool:
        copies = set(pool.map(lambda _: binaries.copied(trees, "postgresql", fresh / "copies"), range(3)))
    [copy] = copies
    assert list((fresh / "copies").iterdir()) == [copy], "left-overs of a race"
    [initdb] = copy.glob(f"*/{binaries.POSTGRES_INSTALLS[0]}/bin/initdb")
    assert account_for(None).can_run(initdb) or Account().can_run(initdb)
