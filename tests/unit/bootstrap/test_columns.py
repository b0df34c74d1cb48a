"""Lists for PostgreSQL: written at once, they are what psycopg writes value by value."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import DataError
from psycopg.types.array import ListBinaryDumper

from backend.bootstrap.columns import ColumnDumper

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**15), 2**15 - 1) | st.integers(-(2**31), 2**31 - 1)


def written(dumper: type[ListBinaryDumper], values: list[Any]) -> bytes:
    """What goes to the server."""
    content = dumper(list, Transformer()).upgrade(values, PyFormat.BINARY).dump(values)
    assert content is not None
    return bytes(content)


@given(st.lists(NUMBERS) | st.lists(st.uuids()) | st.lists(st.none() | NUMBERS) | st.lists(st.none() | st.uuids()))
def test_a_column_is_what_psycopg_writes(values: list[Any]) -> None:
    assert written(ColumnDumper, values) == written(ListBinaryDumper, values)


@pytest.mark.parametrize("values", [[2**70, 1], [[1, 2], [3, 4]], [True, False], ["a", None], [1.5, 2.0], [b"x"]])
def test_what_is_no_column_of_whole_numbers_or_uuids_goes_the_usual_way(values: list[Any]) -> None:
    assert written(ColumnDumper, values) == written(ListBinaryDumper, values)


@pytest.mark.parametrize("values", [[1, 1.5], [UUID(int=1), "x"], [1, "x"]])
def test_mixed_types_are_refused(values: list[Any]) -> None:
    with pytest.raises(DataError, match="mixed types"):
        written(ColumnDumper, values)
