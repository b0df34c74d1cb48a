"""Making a PostgreSQL cluster and writing its settings."""

import os
import shutil
import signal
from pathlib import Path

from backend.embedded import daemon, ports
from backend.embedded.account import Account
from backend.embedded.failure import EmbeddedServerFailed, tail
from backend.embedded.passwords import Passwords
from backend.embedded.places import Places

CONNECTIONS_MAX = 300
KILL_TIMEOUT_S = 5.0

SETTINGS = {
    "max_connections": str(CONNECTIONS_MAX),
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "jit": "off",  # short statements only: compiling costs more than it gives
    "wal_level": "minimal",  # no replicas
    "max_wal_senders": "0",
    "password_encryption": "scram-sha-256",
    "createrole_self_grant": "set, inherit",  # the owner may act as the restricted roles that it makes
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # no statements, hence no data, in the log
}
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "checkpoint_timeout": "30min",
}


def create(
    where: Places, account: Account, passes: Passwords, binaries: Path, *, superuser: str, durable: bool
) -> None:
    """Run `initdb`; the cluster appears at its place when it is complete. Raises EmbeddedServerFailed."""
    discard_partial(where)
    where.partial_cluster.mkdir(mode=0o700)
    account.take(where.partial_cluster)
    password_file = where.superuser_password
    command: list[str | Path] = [
        binaries / "initdb",
        "--pgdata",
        where.partial_cluster,
        "--pwfile",
        password_file,
    ]
    command += [f"--username={superuser}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
    command += ["--no-instructions"] if durable else ["--no-instructions", "--no-sync"]
    try:
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(passes.superuser)
        account.take(password_file)
        done = account.run(command)
    finally:
        password_file.unlink(missing_ok=True)
    if done.returncode != 0:
        raise EmbeddedServerFailed(
            "PostgreSQL",
            f"initdb failed with {done.returncode}",
            f"Check that {where.home} can be written and has 100 MB left",
            tail(done.stdout.decode(errors="replace")),
        )
    where.partial_cluster.rename(where.cluster)


def discard_partial(where: Places) -> None:
    """Remove what an `initdb` left whose caller was killed, and end it if it is still at work."""
    where.superuser_password.unlink(missing_ok=True)
    if not where.partial_cluster.exists():
        return
    daemon.end(daemon.showing(str(where.partial_cluster)), ((signal.SIGKILL, KILL_TIMEOUT_S),))

    def removed() -> bool:  # a child of that `initdb` may write for some milliseconds more
        shutil.rmtree(where.partial_cluster, ignore_errors=True)
        return not where.partial_cluster.exists()

    if not daemon.await_true(removed, KILL_TIMEOUT_S):
        raise EmbeddedServerFailed("PostgreSQL", f"cannot remove {where.partial_cluster}", "Remove it by hand")


def write_configuration(where: Places, port: int, addresses: list[str], *, superuser: str, durable: bool) -> None:
    """Write settings and access rules anew; what `ALTER SYSTEM` has set goes before them."""
    sockets = where.socket_folder(port)
    settings = {
        "port": str(port),
        "listen_addresses": _quoted(", ".join(addresses)),
        "unix_socket_directories": _quoted(f'"{str(sockets).replace(chr(34), chr(34) * 2)}"' if sockets else ""),
        "hba_file": _quoted(str(where.postgres_access)),
        "cluster_name": _quoted(where.cluster_name),
    }
    settings |= {name: _quoted(value) for name, value in SETTINGS.items()}
    settings |= {} if durable else {name: _quoted(value) for name, value in NOT_DURABLE.items()}
    _write(where.postgres_configuration, [f"{name} = {value}" for name, value in settings.items()])
    rules = ["local all all scram-sha-256", f"host all all {ports.LOOPBACK}/32 scram-sha-256"]
    if ports.bridge():
        # Containers come from networks that are made later: `samenet` is every one that this machine is in by then.
        rules.append(f"host all {superuser} samenet reject")
        rules.append("host all all samenet scram-sha-256")
    _write(where.postgres_access, rules)


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(["# Written anew at every start.", *lines, ""]))
    path.chmod(0o644)  # the servers' account reads it; nothing in it is secret


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
