"""Connections to nodes, on real sockets: what is reused, what is not, and how many there are."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from backend.gateway.routing import connections as connections_module
from backend.gateway.routing.answer_reader import BrokenOff
from backend.gateway.routing.connection import NeverSent
from backend.gateway.routing.connections import Connections
from tests.unit.gateway.test_node_client import answer, read_request
from tests.waiting import PATIENCE_S

HEAD = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
LARGE = 1 << 20
ASKED = 50


class Node:
    """Answers every request of a connection by what `reply` gives for its body."""

    def __init__(self, reply: Callable[[bytes], bytes]) -> None:
        self.connections = self.under_way = self.most = 0
        self.held: asyncio.Event | None = None
        self.full = asyncio.Event()  # two are under way
        self._reply = reply

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await read_request(reader)
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                if self.under_way == 2:
                    self.full.set()
                if self.held:
                    await self.held.wait()
                self.under_way -= 1
                writer.write(self._reply(request.partition(b"\r\n\r\n")[2]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def asking(node: Node) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    server = await asyncio.start_server(node.talk, "127.0.0.1", 0)
    connections = Connections()
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def ask(body: bytes) -> bytes:
        return bytes((await connections.ask(origin, HEAD % len(body), body)).body)

    try:
        yield ask
    finally:
        connections.close()
        server.close()


def run(scenario: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario, PATIENCE_S)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


def test_answers_leave_nothing_to_the_collector_which_would_stop_all_requests_at_once() -> None:
    async def scenario() -> None:
        async with asking(Node(answer)) as ask:
            await ask(b"the first opens the connection")
            gc.collect()
            gc.disable()
            try:
                for number in range(ASKED):
                    await ask(b"%d" % number)
                assert gc.collect() < ASKED
            finally:
                gc.enable()

    run(scenario())


def test_requests_after_each_other_share_a_connection_and_large_bodies_arrive_whole() -> None:
    async def scenario() -> None:
        node = Node(answer)
        async with asking(node) as ask:
            for body in (b"small", LARGE * b"x", b"", LARGE * b"y"):
                assert await ask(body) == body
        assert node.connections == 1

    run(scenario())


def test_more_requests_than_a_node_may_have_connections_wait_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "CONNECTIONS_PER_NODE_MAX", 2)

    async def scenario() -> None:
        node = Node(answer)
        node.held = asyncio.Event()
        async with asking(node) as ask:
            asked = asyncio.gather(*(ask(b"%d" % number) for number in range(6)))
            await node.full.wait()
            node.held.set()
            assert await asked == [b"%d" % number for number in range(6)]
        assert (node.most, node.connections) == (2, 2)

    run(scenario())


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"evil"])
def test_what_a_node_says_unasked_is_never_the_answer_to_another_request(extra: bytes) -> None:
    async def scenario() -> None:
        async with asking(Node(lambda body: answer(body) + extra)) as ask:
            for body in (b"one", b"two", b"three"):
                with_extra = await asyncio.gather(ask(body), return_exceptions=True)
                assert with_extra[0] == body or isinstance(with_extra[0], BrokenOff)

    run(scenario())


def test_an_answer_may_end_with_its_connection() -> None:
    async def scenario() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            assert bytes((await Connections().ask(origin, HEAD % 0, b"")).body) == b"all of it"

    run(scenario())


def test_a_connection_that_idled_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        node = Node(answer)
        async with asking(node) as ask:
            await ask(b"one")
            monkeypatch.setattr(connections_module, "KEEP_ALIVE_S", 0.0)
            await ask(b"two")
        assert node.connections == 2

    run(scenario())


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:1", "http://no.such.host.invalid:80", "http://[::1:80", "http://"]
)
def test_where_nobody_can_be_reached_nothing_was_sent(origin: str) -> None:
    async def scenario() -> None:
        with pytest.raises(NeverSent):
            await Connections().ask(origin, HEAD % 0, b"")

    run(scenario())
