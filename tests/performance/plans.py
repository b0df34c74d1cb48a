"""Which statements are sent, and how PostgreSQL would run them."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event, text

KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@dataclass(frozen=True)
class Sent:
    """A statement in the driver's form, with its binds."""

    statement: str
    binds: Mapping[str, Any]


@contextmanager
def sent_to(engine: Engine) -> Iterator[list[Sent]]:
    """The statements that are sent through an engine inside the block, each text once."""
    seen: dict[str, Sent] = {}

    def remember(_connection: object, _cursor: object, statement: str, binds: Any, *_: object) -> None:
        if statement.lstrip().startswith(KINDS):
            seen.setdefault(statement, Sent(statement, binds))

    sent: list[Sent] = []
    event.listen(engine, "before_cursor_execute", remember)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", remember)
        sent.extend(seen.values())


def body_of(connection: Connection, function: str, arguments: Mapping[str, str]) -> Sent:
    """The statement inside an SQL function, its parameters replaced by SQL expressions."""
    body: str = connection.execute(
        text("SELECT prosrc FROM pg_proc WHERE proname = :name"), {"name": function}
    ).scalar_one()
    for name, expression in arguments.items():
        body = re.sub(rf"\b{name}\b", lambda _, expression=expression: expression, body)  # type: ignore[misc]
    return Sent(body.replace("%", "%%"), {})


def whole_tables_read(connection: Connection, sent: Sent) -> set[str]:
    """Tables that the statement's plan reads from end to end."""
    [row] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sent.statement}", dict(sent.binds))
    return {node["Relation Name"] for node in _nodes(row[0][0]["Plan"]) if node["Node Type"] == "Seq Scan"}


def rows_looked_at(connection: Connection, sent: Sent) -> int:
    """Rows that the statement's plan reads or drops, over all of its loops; what it did is rolled back."""
    [row] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sent.statement}", dict(sent.binds))
    connection.rollback()
    return _looked_at(row[0][0]["Plan"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _looked_at(plan: dict[str, Any]) -> int:
    own = sum(plan.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter"))
    return int(own * plan["Actual Loops"]) + sum(_looked_at(child) for child in plan.get("Plans", []))
