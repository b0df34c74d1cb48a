"""What is written to a connection: all of it, in order, in as few pieces as can be."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from backend.gateway.oip.joined_writes import JOINED_BYTES_MAX, JoinedWrites

HEAD, BODY, LARGE = b"head", b"body", (JOINED_BYTES_MAX + 1) * b"x"


class Sent(asyncio.Transport):
    """Keeps the pieces that leave."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        assert not self.closed
        self.pieces.append(bytes(data))

    def writelines(self, list_of_data: "Iterable[bytes | bytearray | memoryview[Any]]") -> None:
        self.pieces.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


async def turn(_: JoinedWrites) -> None:
    await asyncio.sleep(0)


def sent(*steps: Callable[[JoinedWrites], object]) -> Sent:
    """What leaves after these steps, and a turn of the loop after each that is one."""
    transport = Sent()

    async def run() -> None:
        joined = JoinedWrites(transport, asyncio.get_running_loop())
        for step in steps:
            if asyncio.iscoroutine(done := step(joined)):
                await done

    asyncio.run(run())
    return transport


def write(data: "bytes | memoryview[Any]") -> Callable[[JoinedWrites], object]:
    return lambda joined: joined.write(data)


@pytest.mark.parametrize("body", [BODY, LARGE, memoryview(BODY), b""])
def test_a_head_leaves_with_what_follows_it(body: bytes) -> None:
    assert sent(write(HEAD), write(body), turn).pieces == [HEAD + bytes(body)]


def test_what_follows_later_is_sent_as_it_comes_and_its_head_is_not_kept_for_it() -> None:
    assert sent(write(HEAD), turn, write(b"1"), write(b"2"), turn).pieces == [HEAD, b"1", b"2"]
    assert sent(write(HEAD), write(b"1"), write(b"2"), write(b"3"), turn).pieces == [HEAD + b"1", b"2", b"3"]


def test_each_answer_of_a_connection_has_a_head() -> None:
    steps = (write(HEAD), write(BODY), JoinedWrites.answered)
    assert sent(*steps, *steps, write(HEAD), JoinedWrites.answered, *steps, turn).pieces == [
        HEAD + BODY,
        HEAD + BODY,
        HEAD,
        HEAD + BODY,
    ]


def test_a_connection_that_is_closed_sends_what_is_left_and_one_that_is_broken_off_does_not() -> None:
    ended = sent(write(HEAD), JoinedWrites.close, turn)
    assert (ended.pieces, ended.closed) == ([HEAD], True)
    ended = sent(write(HEAD), JoinedWrites.abort, turn)
    assert (ended.pieces, ended.closed) == ([], True)
