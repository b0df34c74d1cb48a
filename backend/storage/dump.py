"""A database as one file: PostgreSQL's own programs, run as children that are told the password in a file."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from backend.domain.errors import SwarmexError, Unavailable
from backend.storage import temporary
from backend.storage.programs import Program

DUMP_TIMEOUT_S = 6 * 3600
RESTORE_TIMEOUT_S = 12 * 3600  # indexes are built as well
LOCK_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 5
TERMINATE_TIMEOUT_S = 10
POLL_S = 0.1
COMPLAINT_LINES_MAX = 5
SECRETS = ("password", "sslpassword", "passfile")

Tick = Callable[[], None]


class ProgramFailed(SwarmexError):
    """One of PostgreSQL's programs gave up; tells what it complained of."""

    code = "postgres_program_failed"


def dump(program: Program, database_url: str, snapshot: str, target: Path, tick: Tick) -> None:
    """Write the database as an exported snapshot shows it, in pg_dump's custom format, flushed to disk.

    `tick` is called while it is written. Raises ProgramFailed, Unavailable(`timed_out`).
    """
    options = ["--format=custom", f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_TIMEOUT_S}s"]
    # Who owns the database, and where its files are, is the next server's own affair; comments need rights.
    portable = ["--no-owner", "--no-tablespaces", "--no-comments", "--no-publications", "--no-subscriptions"]
    _run([program.path, *options, *portable, f"--file={target}"], database_url, DUMP_TIMEOUT_S, tick)


def restore(program: Program, database_url: str, source: Path, tick: Tick) -> None:
    """Write a dump into an empty database, all of it or nothing. Raises ProgramFailed, Unavailable(`timed_out`)."""
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-tablespaces"]
    _run([program.path, *options, source], database_url, RESTORE_TIMEOUT_S, tick)


def _run(command: Sequence[str | Path], database_url: str, timeout_s: float, tick: Tick) -> None:
    """Run a program against a database to its end, or end it; its output is shown only if it fails."""
    with temporary.folder() as folder, tempfile.TemporaryFile() as complaints:
        address, environment = _access(database_url, folder)
        child = subprocess.Popen(
            [*command, "--no-password", f"--dbname={address}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=complaints,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C reaches us, and we end it
        )
        try:
            _await(child, time.monotonic() + timeout_s, tick)
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"{Path(command[0]).name} did not end in {timeout_s / 3600:g} hours",
                code="timed_out",
                accepted="a server with less to do",
            ) from None
        finally:
            _end(child)
        if child.returncode != 0:
            complaints.seek(0)
            told = complaints.read().decode(errors="replace").strip().splitlines()[:COMPLAINT_LINES_MAX]
            raise ProgramFailed("; ".join(told) or f"{Path(command[0]).name} ended with {child.returncode}")


def _access(database_url: str, folder: Path) -> tuple[str, Mapping[str, str]]:
    """A connection string without secrets, and an environment that names the file which has the password."""
    url = make_url(database_url)
    _, given = url.get_dialect()().create_connect_args(url)  # what the driver itself is given
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SWARMEX_")}
    environment |= {"LC_ALL": "C", "PGAPPNAME": "swarmex"}
    if password := given.get("password"):
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        file = folder / "password"
        file.touch(mode=0o600)
        file.write_text(f"*:*:*:*:{escaped}\n")
        environment.pop("PGPASSWORD", None)  # it would be preferred
        environment["PGPASSFILE"] = str(file)
    elif passfile := given.get("passfile"):
        environment["PGPASSFILE"] = passfile
    named = {name: value for name, value in given.items() if name not in SECRETS}
    return make_conninfo("", **{"connect_timeout": CONNECT_TIMEOUT_S, **named}), environment


def _await(child: "subprocess.Popen[bytes]", deadline: float, tick: Tick) -> None:
    while child.poll() is None:
        tick()
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired(child.args, deadline)
        time.sleep(POLL_S)
    tick()


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TERMINATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
