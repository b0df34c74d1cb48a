"""What psycopg has to be told, whoever opens the connection."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import set_json_loads

from backend.bootstrap.columns import ColumnDumper

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000

LIMITS: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "application_name": "swarmex",
    "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC",
    "tcp_user_timeout": STATEMENT_TIMEOUT_MS,
}


def open_connection(url: str) -> "psycopg.Connection[Any]":
    """A connection to a database's URL with the project's limits; each of its statements is a transaction."""
    address = urlunsplit(urlsplit(url)._replace(scheme="postgresql"))  # without the name of the driver
    connection = psycopg.connect(address, autocommit=True, row_factory=namedtuple_row, **LIMITS)
    adapt(connection)
    return connection


def adapt(connection: "psycopg.Connection[Any]") -> None:
    """A batch is a list per column; written as text, a thousand payloads take a hundred times as long (measured)."""
    connection.adapters.register_dumper(list, ColumnDumper)
    set_json_loads(orjson.loads, connection)
