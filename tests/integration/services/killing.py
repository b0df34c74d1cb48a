"""Databases whose connections end at a moment of a test's choice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event

from tests.performance.servers import libpq


@contextmanager
def killed_before(engine: Engine, url: str, number: int) -> Iterator[None]:
    """Kill the backend right before its statement of that number is sent; the commit counts as the last."""
    seen = 0

    def hit(connection: Connection) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]  # psycopg's
            with psycopg.connect(libpq(url), autocommit=True) as killer:
                killer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    def before_statement(connection: Connection, *_: Any) -> None:
        hit(connection)

    event.listen(engine, "before_cursor_execute", before_statement)
    event.listen(engine, "commit", hit)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", before_statement)
        event.remove(engine, "commit", hit)
