"""Answers of nodes, whole or broken, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateway.limits import ANSWER_HEAD_BYTES_MAX
from backend.gateway.routing.answer_reader import AboveLimit, AnswerReader, BrokenOff

BODY_MAX = 1_000
DECLARED = b"HTTP/1.1 200 OK\r\nSwarmex-Busy-Us: 7\r\nContent-Length: 11\r\n\r\nhello world"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nLate: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 102 Processing\r\nEarly: 1\r\n\r\n" + DECLARED
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def read(reader: AnswerReader, came: bytes, cuts: list[int]) -> int:
    """Give `came` to the reader in pieces, as a connection does; how many bytes it took until it was whole."""
    taken = 0
    for size in [*cuts, len(came)]:
        piece = came[taken : taken + size]
        if not piece or reader.whole:
            break
        if reader.in_place:
            place = reader.place()
            piece = piece[: len(place)]
            place[: len(piece)] = piece
            reader.placed(len(piece))
        else:
            reader.feed(memoryview(piece))
        taken += len(piece)
    return taken


@given(st.sampled_from([DECLARED, CHUNKED, INTERIM]), st.lists(st.integers(1, 40), max_size=60))
def test_an_answer_is_the_same_however_it_is_cut(came: bytes, cuts: list[int]) -> None:
    reader = AnswerReader(BODY_MAX)
    taken = 0
    while not reader.whole:
        taken += read(reader, came[taken:], cuts)
    assert taken == len(came)
    assert (reader.reply.status, bytes(reader.reply.body), reader.reusable) == (200, b"hello world", True)
    assert not reader.reply.headers.keys() & {b"early", b"late"}


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=60))
def test_whatever_comes_is_an_answer_or_broken_off(came: bytes, cuts: list[int]) -> None:
    reader = AnswerReader(BODY_MAX)
    try:
        read(reader, came, cuts)
    except BrokenOff:
        return
    assert len(reader.reply.body) <= BODY_MAX


def test_an_answer_without_a_body_is_whole_with_its_head() -> None:
    reader = AnswerReader(BODY_MAX)
    assert reader.feed(memoryview(EMPTY))
    assert (reader.reply.status, bytes(reader.reply.body)) == (204, b"")


@pytest.mark.parametrize(
    "came",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + 1_001 * b"x",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (ANSWER_HEAD_BYTES_MAX // 6 + 1),
    ],
    ids=["declared", "chunked", "headers"],
)
def test_an_answer_above_the_limit_is_refused_as_soon_as_it_is_known(came: bytes) -> None:
    with pytest.raises(AboveLimit):
        AnswerReader(BODY_MAX).feed(memoryview(came))


@pytest.mark.parametrize(
    "came",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_broken_off(came: bytes) -> None:
    with pytest.raises(BrokenOff):
        AnswerReader(BODY_MAX).feed(memoryview(came))


@pytest.mark.parametrize(
    "came",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        2 * b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["told", "old", "two answers"],
)
def test_a_connection_that_cannot_be_trusted_with_another_request_is_known(came: bytes) -> None:
    reader = AnswerReader(BODY_MAX)
    assert reader.feed(memoryview(came))
    assert not reader.reusable


def for_ever(reader: AnswerReader, came: bytes) -> None:
    for _ in range(ANSWER_HEAD_BYTES_MAX):
        reader.feed(memoryview(came))


@pytest.mark.parametrize("endless", [b"x" * 100, b"X: y\r\n"], ids=["one trailer", "many trailers"])
def test_trailers_do_not_go_on_for_ever(endless: bytes) -> None:
    reader = AnswerReader(BODY_MAX)
    reader.feed(memoryview(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: "))
    with pytest.raises(AboveLimit):
        for_ever(reader, endless)


def test_a_long_body_in_chunks_is_no_long_head() -> None:
    reader = AnswerReader(4 * ANSWER_HEAD_BYTES_MAX)
    reader.feed(memoryview(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    for _ in range(300):
        reader.feed(memoryview(b"1f4\r\n" + 500 * b"x" + b"\r\n"))
    assert reader.feed(memoryview(b"0\r\n\r\n"))
    assert len(reader.reply.body) == 150_000


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_that_was_declared_and_cannot_come_is_no_memory_of_ours(status: int) -> None:
    reader = AnswerReader(1 << 20)
    assert reader.feed(memoryview(b"HTTP/1.1 %d X\r\nContent-Length: 100000\r\n\r\n" % status))
    assert (bytes(reader.reply.body), reader.reusable) == (b"", False)
