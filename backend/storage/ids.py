"""Ids are UUIDv7, made by us: in order of time, so that an index grows at its end and a list needs no other key."""

from datetime import datetime
from uuid import UUID

from uuid_utils import compat


def new_id() -> UUID:
    """A new UUIDv7."""
    return compat.uuid7()


def made_ms(column: str) -> str:
    """SQL for when the id in a column was made, or an id as text: milliseconds since 1970."""
    return f"('x' || translate(left({column}::text, 13), '-', ''))::bit(48)::bigint"


def first_id_at(moment: datetime) -> UUID:
    """No id made before `moment` is above this one: a bound for "older than" that the primary key serves."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))
