"""One PostgreSQL cluster in a data folder: made on first use, started, found, stopped."""

import signal
import subprocess
import time
from pathlib import Path

import psutil
import psycopg
from psycopg import pq, sql

from backend.embedded import daemon, ports
from backend.embedded.account import Account
from backend.embedded.cluster import create, discard_partial, write_configuration
from backend.embedded.failure import EmbeddedServerFailed, log_since, tail
from backend.embedded.passwords import Passwords
from backend.embedded.places import Places

OWNER = "swarmex"
DATABASE = "swarmex"
SUPERUSER = "postgres"
PID_FILE_LINES = 8  # the last one is the state

START_ATTEMPTS_MAX = 5  # a port can be taken between its choice and its use
START_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 2
ORPHANS_TIMEOUT_S = 5.0
FAST_SHUTDOWN_TIMEOUT_S = 20.0
IMMEDIATE_SHUTDOWN_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 5.0
SHUTDOWN = (
    (signal.SIGINT, FAST_SHUTDOWN_TIMEOUT_S),
    (signal.SIGQUIT, IMMEDIATE_SHUTDOWN_TIMEOUT_S),
    (signal.SIGKILL, KILL_TIMEOUT_S),
)


def answering(where: Places) -> int | None:
    """The port of this folder's server if it is complete, up and answers, else None."""
    port = ports.port_in(where.postgres_configuration)
    if port is None or not where.provisioned.exists() or _running(where) is None:
        return None
    return port if _is_up(where, port) else None


def ensure(where: Places, account: Account, passes: Passwords, binaries: Path, *, durable: bool) -> tuple[int, bool]:
    """Port of the server, and True if it had to be started; the caller holds the folder's lock."""
    process = _running(where)
    if process is None:
        port = _start(where, account, passes, binaries, durable=durable)
    else:
        port = ports.port_in(where.postgres_configuration) or 0
        if not daemon.await_true(lambda: _is_up(where, port), START_TIMEOUT_S):
            raise daemon.silent("PostgreSQL", START_TIMEOUT_S, where.postgres_log)
    if not where.provisioned.exists():
        _provision(port, passes)
        where.provisioned.touch()
    return port, process is None


def stop(where: Places) -> None:
    """Fast shutdown; a server that does not end is shut down at once, then killed."""
    process = _running(where)
    if process is not None and not daemon.end([process], SHUTDOWN):
        raise EmbeddedServerFailed("PostgreSQL", f"process {process.pid} cannot be ended", "End it by hand")
    _end_orphans(where)
    discard_partial(where)


def _start(where: Places, account: Account, passes: Passwords, binaries: Path, *, durable: bool) -> int:
    _end_orphans(where)
    if not where.cluster.exists():
        create(where, account, passes, binaries, superuser=SUPERUSER, durable=durable)
    # PostgreSQL would refuse to start if a pid in them were now that of a zombie or of somebody else.
    for stale in [where.cluster / "postmaster.pid", *where.cluster.glob(".s.PGSQL.*")]:
        stale.unlink(missing_ok=True)
    addresses = ports.listen_addresses()
    preferred = ports.port_in(where.postgres_configuration)
    for _ in range(START_ATTEMPTS_MAX):
        port = ports.free_port(addresses, preferred)
        write_configuration(where, port, addresses, superuser=SUPERUSER, durable=durable)
        if _launch(where, account, binaries, port):
            return port
        preferred = None
    raise EmbeddedServerFailed(
        "PostgreSQL",
        f"{START_ATTEMPTS_MAX} ports were taken in a row",
        "Try again when the machine is calmer",
    )


def _launch(where: Places, account: Account, binaries: Path, port: int) -> bool:
    """Start the server and wait until it answers; False if its port was taken meanwhile."""
    with daemon.open_log(where.postgres_log) as log:
        offset = log.tell()
        command: list[str | Path] = [binaries / "postgres", "-D", where.cluster]
        command += ["-c", f"config_file={where.postgres_configuration}"]
        process = daemon.launch(command, account, log, subprocess.DEVNULL)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (up := _is_up(where, port)) and daemon.is_alive(process):
        if time.monotonic() > deadline:
            raise daemon.silent("PostgreSQL", START_TIMEOUT_S, where.postgres_log)
        time.sleep(daemon.POLL_S)
    text = log_since(where.postgres_log, offset)
    if "could not bind" in text:  # it may have got one address of two
        if process is not None:
            daemon.end([process], SHUTDOWN)
        return False
    if not up:
        remedy = f"Read {where.postgres_log}; the data in {where.cluster} is untouched"
        raise EmbeddedServerFailed("PostgreSQL", "it ended while it was starting", remedy, tail(text))
    return True


def _running(where: Places) -> psutil.Process | None:
    return daemon.recognise(where.cluster / "postmaster.pid", str(where.cluster))


def _is_up(where: Places, port: int) -> bool:
    """True if the server is ready by its pid file (pings while it starts fill its log) and answers."""
    try:
        lines = (where.cluster / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    if len(lines) < PID_FILE_LINES or lines[-1].strip() != "ready":
        return False
    target = f"host={ports.LOOPBACK} port={port} user={OWNER} dbname={DATABASE}"
    options = f"connect_timeout={CONNECT_TIMEOUT_S} sslmode=disable gssencmode=disable"
    return pq.PGconn.ping(f"{target} {options}".encode()) == pq.Ping.OK


def _end_orphans(where: Places) -> None:
    """Wait for the children of a killed server, which end unless they are at work; then end them."""
    orphans = daemon.showing(f"{where.cluster_name}:")
    if not daemon.await_true(lambda: not any(map(daemon.is_alive, orphans)), ORPHANS_TIMEOUT_S):
        daemon.end(orphans, SHUTDOWN[1:])


def _provision(port: int, passes: Passwords) -> None:
    """Make the role and the database that the application owns; does nothing twice."""
    with psycopg.connect(
        host=ports.LOOPBACK,
        port=port,
        user=SUPERUSER,
        password=passes.superuser,
        dbname="postgres",
        connect_timeout=CONNECT_TIMEOUT_S,
        autocommit=True,
    ) as connection:
        role = sql.Identifier(OWNER)
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(passes.owner)))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), role))
