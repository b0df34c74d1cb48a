"""Any number of rows in one statement: `INSERT … SELECT unnest(…)` and `UPDATE … FROM unnest(…)`.

The text of a statement depends on the table and its columns only, never on the number of rows, so that PostgreSQL
plans it once and a batch of a thousand costs one round trip.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import orjson
import psycopg
from sqlalchemy import Connection, Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from backend.storage.tables import Base

Row = Mapping[str, Any]
Columns = dict[str, list[Any]]


def driver_of(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    """The driver's connection under one of SQLAlchemy."""
    driver: psycopg.Connection[tuple[Any, ...]] = connection.connection.driver_connection  # type: ignore[assignment]  # it is psycopg's
    return driver


def insert_rows(connection: Connection, table: type[Base], rows: Sequence[Row], conflict: str = "") -> int:
    """Insert rows that all have the same columns; returns how many went in. `conflict` is an ON CONFLICT clause."""
    return _insert_columns(connection, table, _columns(rows), conflict) if rows else 0


def insert_records(
    connection: Connection, table: type[Base], records: Sequence[object], conflict: str = "", **same: object
) -> int:
    """Insert dataclass records whose fields are columns, with the `same` value for all in others; else as above."""
    if not records:
        return 0
    fields: dict[str, object] = records[0].__dataclass_fields__  # type: ignore[attr-defined]  # a dataclass
    columns = {name: list(map(attrgetter(name), records)) for name in fields}
    columns |= {name: [value] * len(records) for name, value in same.items()}
    return _insert_columns(connection, table, columns, conflict)


def update_rows(connection: Connection, table: type[Base], rows: Sequence[Row], key: str = "id") -> int:
    """Set the other columns of the rows with these keys; returns how many were found."""
    if not rows:
        return 0
    columns = _columns(rows)
    statement = _update(table.__table__, tuple(columns), key)
    return connection.execute(statement, _binds(table, columns)).rowcount


def _insert_columns(connection: Connection, table: type[Base], columns: Columns, conflict: str) -> int:
    statement = _insert(table.__table__, tuple(columns), conflict)
    return connection.execute(statement, _binds(table, columns)).rowcount


def _columns(rows: Sequence[Row]) -> Columns:
    return {name: [row[name] for row in rows] for name in rows[0]}


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


def _binds(table: type[Base], columns: Columns) -> Columns:
    return {
        name: [None if value is None else orjson.dumps(value).decode() for value in values]
        if isinstance(table.__table__.c[name].type, JSONB)
        else values
        for name, values in columns.items()
    }


def values_of(record: object) -> dict[str, Any]:
    """A record's fields by name; `dataclasses.asdict` would copy each value deeply, which nobody needs."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}  # type: ignore[attr-defined]  # a dataclass
