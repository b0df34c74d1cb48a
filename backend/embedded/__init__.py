"""PostgreSQL and Redis from Python wheels, as daemons in a data folder: for laptops and tests.

The servers outlive the process that started them. Unix only.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from backend.embedded import binaries, passwords, places, postgres, redis
from backend.embedded.account import Account, account_for
from backend.embedded.failure import EmbeddedServerFailed
from backend.embedded.lock import locked

__all__ = ["EmbeddedServerFailed", "Servers", "ensure", "find", "remove", "revive", "stop"]


@dataclass(frozen=True)
class Servers:
    """What is up in a data folder."""

    database_url: str = field(
        repr=False
    )  # SQLAlchemy form; the role owns the database and may create databases and roles
    redis_url: str = field(repr=False)
    started: bool  # True when this call started at least one of them, False when both were reused


def ensure(folder: Path, *, durable: bool = True) -> Servers:
    """Start PostgreSQL and Redis in `folder`, or reuse what is up; returns when both answer.

    Safe when several processes call at once. `durable=False` trades crash safety for speed (tests); it has
    no effect on a server that is up. Raises EmbeddedServerFailed.
    """
    if up := find(folder):
        return up
    folder = places.canonical(folder)
    with locked(folder), _refusals():
        where, account = _where(folder)
        passes = passwords.load_or_create(where)
        postgres_port, postgres_started = postgres.ensure(
            where, account, passes, binaries.postgres(account), durable=durable
        )
        redis_port, redis_started = redis.ensure(where, account, passes, binaries.redis(account))
    return _servers(postgres_port, redis_port, passes, started=postgres_started or redis_started)


def find(folder: Path, *, without_redis: bool = False) -> Servers | None:
    """The servers of `folder` if both are up and answer, else None; starts nothing and takes no lock.

    `without_redis` is for who can do with PostgreSQL alone: then Redis's address is where it was last.
    """
    where = places.existing(places.canonical(folder))
    passes = passwords.load(where) if where else None
    if where is None or passes is None:
        return None
    postgres_port = postgres.answering(where)
    redis_port = redis.last_port(where) if without_redis else redis.answering(where, passes)
    if postgres_port is None or redis_port is None:
        return None
    return _servers(postgres_port, redis_port, passes, started=False)


def revive(folder: Path) -> bool:
    """Start again what died of servers that were up in `folder`; returns whether anything had. Raises as `ensure`."""
    if places.existing(places.canonical(folder)) is None or find(folder):
        return False
    return ensure(folder).started


def stop(folder: Path) -> None:
    """Stop both servers of `folder`, cleanly if they can, else by force; nothing to stop is not an error."""
    folder = places.canonical(folder)
    if not (folder / places.LOCK).exists():
        return
    with locked(folder), _refusals():
        _stop(folder)


def remove(folder: Path) -> None:
    """Stop both servers and delete all that they keep, also outside `folder`; other files in it stay."""
    folder = places.canonical(folder)
    if not (folder / places.LOCK).exists():
        return
    with locked(folder), _refusals():
        _stop(folder)
        places.delete(folder)


@contextmanager
def _refusals() -> Iterator[None]:
    """What the system or the server refuses, as the one error of this package."""
    try:
        yield
    except (OSError, LookupError, subprocess.SubprocessError, psycopg.Error) as error:
        raise EmbeddedServerFailed(
            "embedded servers",
            str(error).strip(),
            "Check the data folder's owner, its disk and the logs in it",
        ) from error


def _stop(folder: Path) -> None:
    where = places.existing(folder)
    if where is None:
        return
    redis.stop(where, passwords.load(where))
    postgres.stop(where)


def _where(folder: Path) -> tuple[places.Places, Account]:
    known = places.existing(folder)
    account = account_for(known.cluster if known else None)
    if known is None:
        known = places.choose(folder, account)
        if known.home != folder:
            _stop_abandoned()
    return known, account


def _stop_abandoned() -> None:
    """End the servers of data folders that were deleted under them; what they keep stays."""
    for gone in places.abandoned():
        redis.stop(gone, None)
        postgres.stop(gone)


def _servers(postgres_port: int, redis_port: int, passes: passwords.Passwords, *, started: bool) -> Servers:
    owner, host = postgres.OWNER, "127.0.0.1"
    return Servers(
        database_url=f"postgresql+psycopg://{owner}:{passes.owner}@{host}:{postgres_port}/{postgres.DATABASE}",
        redis_url=f"redis://:{passes.redis}@{host}:{redis_port}/0",
        started=started,
    )
