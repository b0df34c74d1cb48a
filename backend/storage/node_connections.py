"""A node's few connections to the database: each statement is a transaction of its own, and one round trip.

Without SQLAlchemy, whose import is a sixth of an inference agent's start, and whose transactions are three round trips.
"""

import time
from collections.abc import Callable, Mapping
from threading import BoundedSemaphore
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from backend.domain.errors import Unavailable

CONNECTIONS_MAX = 4
KEPT_MAX = 2
WAIT_S = 10.0
PING_AFTER_S = 1.0

Connection = psycopg.Connection[Any]


class NodeConnections:
    """Up to CONNECTIONS_MAX connections, opened when they are needed; for any number of threads."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        """`connect` opens a connection that commits by itself."""
        self._connect = connect
        self._room = BoundedSemaphore(CONNECTIONS_MAX)
        self._idle: list[tuple[float, Connection]] = []
        self._closed = False

    def rows(self, statement: str, binds: Mapping[str, object]) -> list[Any]:
        """What a statement returns; raises psycopg's errors, and Unavailable where all connections are long in use."""
        if not self._room.acquire(timeout=WAIT_S):
            raise Unavailable("all connections are in use", code="connections_in_use", accepted="try again")
        try:
            connection = self._idle_one() or self._connect()
            try:
                return connection.execute(statement.encode(), binds).fetchall()
            finally:
                self._take_back(connection)
        finally:
            self._room.release()

    def close(self) -> None:
        """Close what is idle now, and the others when they are done."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()

    def _idle_one(self) -> Connection | None:
        """One that still works: it is asked only after a while, since asking costs a round trip."""
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < PING_AFTER_S:
                return connection
            try:
                connection.execute("")
            except psycopg.Error:
                connection.close()
            else:
                return connection
        return None

    def _take_back(self, connection: Connection) -> None:
        idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        if idle and not self._closed and len(self._idle) < KEPT_MAX:
            self._idle.append((time.monotonic(), connection))
        else:
            connection.close()
