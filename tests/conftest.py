"""Fixtures on real servers: one PostgreSQL and one Redis a run, started by the first test that asks for them.

A test that asks for `database_url` gets its own database, copied from a template that is migrated once.
`SWARMEX_TEST_DATABASE_URL` and `SWARMEX_TEST_REDIS_URL` name other servers to use.
"""

import asyncio
import fcntl
import functools
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import structlog
from psycopg import sql
from sqlalchemy.engine import URL, make_url

RUN = "SWARMEX_TEST_RUN"  # the run's folder, told by the controller to its workers
EXTERNAL_DATABASE = "SWARMEX_TEST_DATABASE_URL"
EXTERNAL_REDIS = "SWARMEX_TEST_REDIS_URL"
PREFIX = "swarmex-tests-"
RUN_LOCK = "run.lock"
MEMORY = Path("/dev/shm")  # copying a database takes 10 ms there and 80 ms on a disk (measured)
MEMORY_FREE_MIN_BYTES = 2 * 1024**3
DROP_ATTEMPTS_MAX = 50
DROP_RETRY_S = 0.2
LOOK_UP_S = 0.02
NODE_ROLE = "swarmex_node"
NODE_PASSWORD = "node0of0the0tests"
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")

# Gigabytes that only one optional trainer wants: `make test-torch` has it.
collect_ignore = [] if find_spec("torch") else ["torch"]

run_key = pytest.StashKey[tuple[Path, int]]()
serial = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Name the run's folder; the servers in it start when the first test needs them."""
    # Not pytest's replaced streams: threads of a server may log after the test that they belong to.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    # What a shell runs in the background ignores Ctrl-C, and so would all processes that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_FREE_MIN_BYTES
    parent = MEMORY if in_memory else Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    folder.chmod(0o711)  # root's servers run as another account
    lock = os.open(folder / "new.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / "new.lock").rename(folder / RUN_LOCK)
    config.stash[run_key] = folder, lock
    os.environ[RUN] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the run's servers and delete all that it made."""
    if run_key not in config.stash:
        return
    folder, lock = config.stash[run_key]
    if (url := os.environ.get(EXTERNAL_DATABASE)) and (folder / "template").exists():
        with psycopg.connect(_conninfo(make_url(url)), autocommit=True) as admin:
            _drop(admin, (folder / "template").read_text())
    _delete(folder)
    os.close(lock)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the servers that they use."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "database_url" in names:
            item.add_marker("database")
        if "redis_url" in names:
            item.add_marker("redis")


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """What hundreds of tests begin and end is cheap to.

    Threads and servers that listen look up often, since who ends them waits for it; certificates are read once, not
    per client; the command line is put together once, not per call.
    """
    import httpx
    import typer.main

    looking_up = vars(asyncio) | {"sleep": lambda seconds: asyncio.sleep(min(seconds, LOOK_UP_S))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uvicorn.server.asyncio", SimpleNamespace(**looking_up))
        patch.setattr("httpx._transports.default.create_ssl_context", functools.cache(httpx.create_ssl_context))
        patch.setattr("typer.main.get_command", functools.cache(typer.main.get_command))
        patch.setattr("backend.messaging.subscription.READ_S", LOOK_UP_S)
        patch.setattr("backend.messaging.breaker_board.TURN_S", LOOK_UP_S)
        yield


@pytest.fixture(scope="session")
def database_admin() -> Iterator[psycopg.Connection]:
    """A connection that may create databases."""
    from backend import embedded

    url = os.environ.get(EXTERNAL_DATABASE) or embedded.ensure(_servers(), durable=False).database_url
    with psycopg.connect(_conninfo(make_url(url)), autocommit=True) as admin:
        yield admin


@pytest.fixture(scope="session")
def database_template(database_admin: psycopg.Connection) -> str:
    """Name of a migrated database that nobody may connect to; the first worker makes it, the others wait."""
    from backend.bootstrap import enable_node_login, migrate

    template = f"test_{_run()}_template"
    key = zlib.crc32(template.encode())
    database_admin.execute("SELECT pg_advisory_lock(%s)", [key])
    try:
        state = database_admin.execute("SELECT datallowconn FROM pg_database WHERE datname = %s", [template])
        if state.fetchone() != (False,):  # absent, or the migration of another worker failed
            (Path(os.environ[RUN]) / "template").write_text(template)
            _drop(database_admin, template)
            database_admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template)))
            migrate(_url(database_admin, template))
            enable_node_login(_url(database_admin, template), NODE_PASSWORD)
            database_admin.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(template))
            )
            database_admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [template]
            )
    finally:
        database_admin.execute("SELECT pg_advisory_unlock(%s)", [key])
    return template


@pytest.fixture
def database_url(database_admin: psycopg.Connection, database_template: str) -> Iterator[str]:
    """URL of a migrated database that belongs to this test alone; dropped after it, with its connections."""
    name = f"test_{_run()}_{WORKER}_{next(serial)}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")  # in memory twice as fast as WAL_LOG
    database_admin.execute(copy.format(sql.Identifier(name), sql.Identifier(database_template)))
    yield _url(database_admin, name)
    _drop(database_admin, name)


@pytest.fixture
def node_database_url(database_url: str) -> str:
    """The same database for the role that nodes use; its password is the same in every database."""
    url = make_url(database_url).set(username=NODE_ROLE, password=NODE_PASSWORD)
    return url.render_as_string(hide_password=False)


@pytest.fixture
def redis_url() -> Iterator[str]:
    """URL of this worker's logical Redis database, emptied after the test.

    Channels are shared by all workers, whatever the database: name them with `namespace`. Who empties it uses FLUSHDB:
    FLUSHALL takes away what the other workers' tests are waiting for.
    """
    import redis

    from backend import embedded

    url = os.environ.get(EXTERNAL_REDIS) or embedded.ensure(_servers(), durable=False).redis_url
    url = f"{url.rsplit('/', 1)[0]}/{WORKER.removeprefix('gw')}"
    yield url
    with redis.Redis.from_url(url, socket_timeout=60) as client:
        client.flushdb()


@pytest.fixture
def namespace() -> str:
    """Prefix for keys and channels that no other test uses."""
    return f"test-{_run()}-{WORKER}-{next(serial)}"


def _run() -> str:
    return Path(os.environ[RUN]).name.removeprefix(PREFIX)


def _servers() -> Path:
    return Path(os.environ[RUN]) / "servers"


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _url(admin: psycopg.Connection, database: str) -> str:
    info = admin.info
    url = URL.create("postgresql+psycopg", info.user, info.password, info.host, info.port, database)
    return url.render_as_string(hide_password=False)


def _drop(admin: psycopg.Connection, database: str) -> None:
    """Drop a database; while autovacuum is at it, PostgreSQL lets only a superuser, so that is waited out."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
    for _ in range(DROP_ATTEMPTS_MAX - 1):
        try:
            admin.execute(statement)
            return
        except psycopg.errors.InsufficientPrivilege:
            time.sleep(DROP_RETRY_S)
    admin.execute(statement)


def _remove_abandoned(parent: Path) -> None:
    """Clear up after runs that were killed: their lock is free."""
    for lock in parent.glob(f"{PREFIX}*/{RUN_LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except OSError:  # another user's
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _delete(lock.parent)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)


def _delete(folder: Path) -> None:
    if (folder / "servers").exists():
        from backend import embedded

        embedded.remove(folder / "servers")
    shutil.rmtree(folder, ignore_errors=True)
