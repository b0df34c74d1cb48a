"""Connections to PostgreSQL by SQLAlchemy: pools with limits."""

import time
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from backend.bootstrap.driver import LIMITS, adapt

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

POOL_TIMEOUT_S = 10
PING_AFTER_S = 1.0


def make_engine(url: str, pool_size: int, max_overflow: int) -> Engine:
    """A pool of connections with the project's limits; it connects when it is first used."""
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args=LIMITS,
    )
    event.listen(engine, "connect", _speed_up)
    event.listen(engine, "checkin", _came_back)
    event.listen(engine, "checkout", _still_there)
    return engine


def _speed_up(raw: "psycopg.Connection", _: object) -> None:
    adapt(raw)


def _came_back(_: object, record: "ConnectionPoolEntry") -> None:
    record.info["idle_since"] = time.monotonic()


def _still_there(raw: "psycopg.Connection", record: "ConnectionPoolEntry", _: object) -> None:
    """Ask a connection that was idle whether it still works; asking each time would cost a round trip more."""
    if time.monotonic() - record.info.get("idle_since", 0) < PING_AFTER_S:
        return
    try:
        raw.execute("")
        raw.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error  # the pool opens another
