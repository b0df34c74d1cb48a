"""Orders per second through `place_orders`, held against inserting the very same rows without asking anything."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import dict_row
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from backend.bootstrap import new_id
from backend.storage.tables import HoldRow, ItemRow, OrderRow
from tests.performance.bench import Bench
from tests.performance.order_path import OrderPath
from tests.performance.rows import Row
from tests.performance.servers import libpq

ORDERS = 500
TABLES: tuple[Table, ...] = tuple(row.metadata.tables[row.__tablename__] for row in (HoldRow, OrderRow, ItemRow))


def run(bench: Bench) -> Iterator[Row]:
    """Both in one transaction a batch; copying the rows and giving them new ids is not timed."""
    with bench.market() as market, psycopg.connect(libpq(market.app.database_url)) as connection:
        path = OrderPath(market)
        path.place(ORDERS)
        rows = {table.name: _newest(connection, table) for table in TABLES}

        def placed_per_s() -> float:
            path.beat()
            started = time.perf_counter()
            path.place(ORDERS)
            return ORDERS / (time.perf_counter() - started)

        def inserted_per_s() -> float:
            columns = _as_columns(_renamed(rows))
            started = time.perf_counter()
            for table in TABLES:
                connection.execute(_insert(table), columns[table.name])
            connection.commit()
            return ORDERS / (time.perf_counter() - started)

        pairs = bench.pairs(placed_per_s, inserted_per_s)
    yield Row(
        "place_batch",
        pairs.value,
        "orders/s",
        "orders/s as a bare INSERT … SELECT unnest",
        pairs.reference_value,
        pairs.ratio,
    )


def _newest(connection: psycopg.Connection[Any], table: Table) -> list[dict[str, Any]]:
    """The rows of the one batch that was placed."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(f"SELECT * FROM {table.name}".encode()).fetchall()
    connection.rollback()
    assert len(rows) == ORDERS, f"{len(rows)} rows in {table.name}"
    return rows


def _renamed(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The same rows under new ids that still refer to each other."""
    new = {row["id"]: new_id() for table in rows.values() for row in table}

    def renamed(value: Any) -> Any:
        return new.get(value, value) if isinstance(value, UUID) else value

    return {name: [{k: renamed(v) for k, v in row.items()} for row in table] for name, table in rows.items()}


def _as_columns(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[list[Any]]]:
    """Column by column, in the order of the tables' columns; JSON as text."""
    columns: dict[str, list[list[Any]]] = {}
    for table in TABLES:
        columns[table.name] = [[_plain(row[column.name]) for row in rows[table.name]] for column in table.columns]
    return columns


def _plain(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, list | dict) else value


def _insert(table: Table) -> bytes:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    names = ", ".join(column.name for column in table.columns)
    casts = ", ".join(f"%s::{column.type.compile(dialect)}[]" for column in table.columns)
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({casts})".encode()
