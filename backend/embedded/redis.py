"""One Redis server in a data folder, which keeps nothing on disk: started, found, stopped."""

import os
import signal
import socket
import time
from pathlib import Path

import psutil

from backend.embedded import daemon, ports
from backend.embedded.account import Account
from backend.embedded.failure import EmbeddedServerFailed, log_since, tail
from backend.embedded.passwords import Passwords
from backend.embedded.places import Places

MEMORY_MAX = "1gb"
DATABASES = 64  # one for each worker of a parallel test run
START_ATTEMPTS_MAX = 5  # a port can be taken between its choice and its use
START_TIMEOUT_S = 15.0
REPLY_TIMEOUT_S = 2.0
REPLY_BYTES_MAX = 4096
SHUTDOWN_TIMEOUT_S = 5.0
TERMINATE_TIMEOUT_S = 1.0
KILL_TIMEOUT_S = 5.0
SIGNALS = ((signal.SIGTERM, TERMINATE_TIMEOUT_S), (signal.SIGKILL, KILL_TIMEOUT_S))
PID_FILE = "redis.pid"


def answering(where: Places, passes: Passwords) -> int | None:
    """The port of this folder's server if it is up and takes our password, else None."""
    port = last_port(where)
    return port if port is not None and _answers(port, passes) else None


def last_port(where: Places) -> int | None:
    """The port that this folder's server was given when it was started last."""
    return ports.port_in(where.redis_configuration)


def ensure(where: Places, account: Account, passes: Passwords, binary: Path) -> tuple[int, bool]:
    """Port of the server, and True if it had to be started; the caller holds the folder's lock."""
    port = answering(where, passes)
    if port is not None:
        return port, False
    if _running(where):
        raise daemon.silent("Redis", REPLY_TIMEOUT_S, where.redis_log)
    return _start(where, account, passes, binary), True


def stop(where: Places, passes: Passwords | None) -> None:
    """Shut down without saving; one that does not end, or whose password is lost, is ended by signals."""
    process = _running(where)
    port = ports.port_in(where.redis_configuration)
    if port is not None and passes is not None:
        _command(port, passes, b"SHUTDOWN NOSAVE")
        if daemon.await_true(lambda: not (process and daemon.is_alive(process)), SHUTDOWN_TIMEOUT_S):
            return
    if process is not None and not daemon.end([process], SIGNALS):
        raise EmbeddedServerFailed("Redis", f"process {process.pid} cannot be ended", "End it by hand")


def _start(where: Places, account: Account, passes: Passwords, binary: Path) -> int:
    where.redis.mkdir(mode=0o700, exist_ok=True)
    account.take(where.redis)
    (where.redis / PID_FILE).unlink(missing_ok=True)
    where.redis_link.unlink(missing_ok=True)
    where.redis_link.symlink_to(binary)
    addresses = ports.listen_addresses()
    preferred = ports.port_in(where.redis_configuration)
    for _ in range(START_ATTEMPTS_MAX):
        port = ports.free_port(addresses, preferred)
        _write_configuration(where, port, addresses, passes)
        if _launch(where, account, port, passes):
            return port
        preferred = None
    raise EmbeddedServerFailed(
        "Redis", f"{START_ATTEMPTS_MAX} ports were taken in a row", "Try again when the machine is calmer"
    )


def _write_configuration(where: Places, port: int, addresses: list[str], passes: Passwords) -> None:
    # Quoting as in Redis's own sdssplitargs: backslash and double quote are escaped.
    folder = str(where.redis).replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        f"port {port}",
        f"bind {' '.join(addresses)}",
        f"requirepass {passes.redis}",
        f'dir "{folder}"',
        f"pidfile {PID_FILE}",
        f"databases {DATABASES}",
        'save ""',
        "appendonly no",
        f"maxmemory {MEMORY_MAX}",
        "maxmemory-policy noeviction",
    ]
    where.redis_configuration.unlink(missing_ok=True)
    descriptor = os.open(where.redis_configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(["# Written anew at every start.", *lines, ""]))


def _launch(where: Places, account: Account, port: int, passes: Passwords) -> bool:
    """Start the server and wait until it answers; False if its port was taken meanwhile."""
    # It reads its settings from stdin, as its account may not be able to reach (and never may read) the file.
    with daemon.open_log(where.redis_log) as log, where.redis_configuration.open("rb") as settings:
        offset = log.tell()
        process = daemon.launch([where.redis_link, "-"], account, log, settings)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(port, passes):
        if not daemon.is_alive(process):
            text = log_since(where.redis_log, offset)
            if "Address already in use" in text:
                return False
            remedy = f"Read {where.redis_log}"
            raise EmbeddedServerFailed("Redis", "it ended while it was starting", remedy, tail(text))
        if time.monotonic() > deadline:
            raise daemon.silent("Redis", START_TIMEOUT_S, where.redis_log)
        time.sleep(daemon.POLL_S)
    return True


def _running(where: Places) -> psutil.Process | None:
    return daemon.recognise(where.redis / PID_FILE, str(where.redis_link))


def _answers(port: int, passes: Passwords) -> bool:
    return _command(port, passes, b"PING") == b"+PONG\r\n"


def _command(port: int, passes: Passwords, command: bytes) -> bytes:
    """Reply to `command`; empty if nobody listens, or a foreign server (which never gets the command)."""
    try:
        with socket.create_connection((ports.LOOPBACK, port), timeout=REPLY_TIMEOUT_S) as connection:
            if _ask(connection, b"AUTH " + passes.redis.encode()) != b"+OK\r\n":
                return b""
            return _ask(connection, command)
    except OSError:
        return b""


def _ask(connection: socket.socket, command: bytes) -> bytes:
    connection.sendall(command + b"\r\n")
    reply = b""
    while not reply.endswith(b"\r\n") and len(reply) < REPLY_BYTES_MAX:
        received = connection.recv(REPLY_BYTES_MAX)
        if not received:
            break
        reply += received
    return reply
