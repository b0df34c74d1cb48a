"""Any number of rows in one statement: `INSERT … SELECT unnest(…)` and `UPDATE … FROM unnest(…)`.

The text of a statement depends on the table and its columns only, never on the number of rows, so that PostgreSQL
plans it once and a batch of a thousand costs one round trip.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson
import psycopg
from sqlalchemy import Connection, Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from backend.storage.tables import Base

Row = Mapping[str, Any]


def driver_of(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    """The driver's connection under one of SQLAlchemy."""
    driver: psycopg.Connection[tuple[Any, ...]] = connection.connection.driver_connection  # type: ignore[assignment]  # it is psycopg's
    return driver


def insert_rows(connection: Connection, table: type[Base], rows: Sequence[Row], conflict: str = "") -> int:
    """Insert rows that all have the same columns; returns how many went in. `conflict` is an ON CONFLICT clause."""
    if not rows:
        return 0
    columns = tuple(rows[0])
    statement = _insert(table.__table__, columns, conflict)
    return connection.execute(statement, _binds(table, columns, rows)).rowcount


def update_rows(connection: Connection, table: type[Base], rows: Sequence[Row], key: str = "id") -> int:
    """Set the other columns of the rows with these keys; returns how many were found."""
    if not rows:
        return 0
    columns = tuple(rows[0])
    statement = _update(table.__table__, columns, key)
    return connection.execute(statement, _binds(table, columns, rows)).rowcount


@cache
def _insert(table: Table, columns: tuple[str, ...], conflict: str) -> TextClause:
    return text(f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM {_unnest(table, columns)} {conflict}")


@cache
def _update(table: Table, columns: tuple[str, ...], key: str) -> TextClause:
    names = ", ".join(columns)
    assignments = ", ".join(f"{name} = v.{name}" for name in columns if name != key)
    return text(
        f"UPDATE {table.name} t SET {assignments} FROM {_unnest(table, columns)} AS v ({names}) WHERE t.{key} = v.{key}"
    )


def _unnest(table: Table, columns: tuple[str, ...]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    casts = (f"CAST(:{name} AS {table.c[name].type.compile(dialect)}[])" for name in columns)
    return f"unnest({', '.join(casts)})"


def _binds(table: type[Base], columns: tuple[str, ...], rows: Sequence[Row]) -> dict[str, list[Any]]:
    binds = {name: [row[name] for row in rows] for name in columns}
    for name, values in binds.items():
        if isinstance(table.__table__.c[name].type, JSONB):
            binds[name] = [None if value is None else orjson.dumps(value).decode() for value in values]
    return binds


def values_of(record: object) -> dict[str, Any]:
    """A record's fields by name; `dataclasses.asdict` would copy each value deeply, which nobody needs."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}  # type: ignore[attr-defined]  # a dataclass
