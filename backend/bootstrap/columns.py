"""Lists on their way to PostgreSQL: columns of UUIDs and whole numbers are written at once, not value by value."""

from collections.abc import Callable, Mapping
from struct import error as StructError
from struct import pack
from typing import Any
from uuid import UUID

from psycopg.abc import Buffer
from psycopg.postgres import types
from psycopg.types.array import ListBinaryDumper

UUID_LENGTH = pack("!i", 16)


class ColumnDumper(ListBinaryDumper):
    """psycopg's dumper of lists, three to five times as fast for UUIDs and whole numbers without None among them.

    The format is that of PostgreSQL's `array_send`: dimensions, flags, type, then length and lower bound of the
    dimension, then each value after its length.
    """

    def dump(self, obj: list[Any]) -> Buffer | None:
        """The list in PostgreSQL's binary format."""
        oid = self.sub_dumper.oid if self.sub_dumper else 0
        if obj and oid in _VALUES:
            try:
                return pack("!iiIii", 1, 0, oid, len(obj), 1) + _VALUES[oid](obj)
            except (AttributeError, StructError):  # None, or a list of lists
                pass
        return super().dump(obj)


def _uuids(values: list[UUID]) -> bytes:
    return UUID_LENGTH + UUID_LENGTH.join([value.bytes for value in values])


def _whole(code: str, size: int) -> Callable[[list[int]], bytes]:
    def values_of(values: list[int]) -> bytes:
        both = [size] * (2 * len(values))
        both[1::2] = values
        return pack("!" + f"i{code}" * len(values), *both)

    return values_of


_VALUES: Mapping[int, Callable[[list[Any]], bytes]] = {
    types["uuid"].oid: _uuids,
    types["int2"].oid: _whole("h", 2),
    types["int4"].oid: _whole("i", 4),
    types["int8"].oid: _whole("q", 8),
}
