"""Ranges of bytes as HTTP asks for them."""

import pytest

from backend.domain.byte_ranges import ByteRange, RangeUnsatisfiable, parse_range


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=2-", 2, 10),
        ("bytes=-3", 7, 10),
        ("bytes=-30", 0, 10),
        ("bytes=4-100", 4, 10),
        (" Bytes = 1 - 2 ", 1, 3),
    ],
)
def test_a_range_is_a_part_of_what_there_is(header: str, start: int, end: int) -> None:
    found = parse_range(header, 10)
    assert found == ByteRange(start, end, 10)
    assert found.header == f"bytes {start}-{end - 1}/10"


@pytest.mark.parametrize("header", [None, "", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=5-2"])
def test_what_is_no_single_range_asks_for_all(header: str | None) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(RangeUnsatisfiable) as refused:
        parse_range(header, 10)
    assert refused.value.size_bytes == 10
