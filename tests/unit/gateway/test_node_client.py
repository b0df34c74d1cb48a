"""The client towards nodes, against real sockets: bounded in time and size, and never the same request twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from backend.gateway.routing import node_client
from backend.gateway.routing.connection import Connection, NeverSent
from backend.gateway.routing.node_client import NodeAnswer, NodeClient, NodeFailed, NodeUnreachable
from tests.waiting import PATIENCE_S

TRICKLE_MAX = 6_000  # bytes, twenty a second

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}/v2/models/m/infer"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


def answer(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", body])


async def post(url: str, timeout_s: float = PATIENCE_S) -> NodeAnswer:
    client = NodeClient(timeout_s)
    try:
        return await client.post(url, "secret", b'{"inputs":[]}')
    finally:
        await client.close()


def test_a_request_reaches_the_node_with_its_token_and_the_answer_comes_back() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(answer(b'{"outputs":[]}'))
        await writer.drain()
        writer.close()

    async def scenario() -> NodeAnswer:
        async with listening(talk) as url:
            return await post(url)

    assert asyncio.run(scenario()) == NodeAnswer(200, b'{"outputs":[]}')
    assert b"Authorization: Bearer secret\r\n" in seen[0]
    assert seen[0].endswith(b'{"inputs":[]}')


def test_a_node_that_hangs_is_given_up_after_the_total_time_out() -> None:
    trickled = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal trickled
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % TRICKLE_MAX)
        while trickled < TRICKLE_MAX and not writer.is_closing():  # it must not prolong the time-out
            writer.write(b"x")
            trickled += 1
            await asyncio.sleep(0.05)
        writer.close()

    async def scenario() -> None:
        async with listening(talk) as url:
            with pytest.raises(NodeFailed):
                await post(url, timeout_s=1.0)

    asyncio.run(scenario())
    assert 0 < trickled < TRICKLE_MAX


def test_what_is_left_of_a_requests_time_is_all_that_a_node_gets() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()  # until it is hung up on
        writer.close()

    async def scenario() -> None:
        client = NodeClient(10 * PATIENCE_S)
        async with listening(talk) as url:
            with pytest.raises(NodeFailed):
                await client.ask(url, "secret", b"{}", None, lambda answer: answer, timeout_s=0.2)
        await client.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_a_request_that_may_have_run_is_not_sent_again() -> None:
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.close()

    async def scenario() -> None:
        async with listening(talk) as url:
            with pytest.raises(NodeFailed):
                await post(url)

    asyncio.run(scenario())
    assert requests == 1


def test_a_node_that_cannot_be_dialled_is_tried_once_more_and_then_reported_as_unreachable() -> None:
    async def scenario() -> None:
        async with listening(lambda _reader, _writer: asyncio.sleep(0)) as url:
            pass  # nobody listens there any more
        with pytest.raises(NodeUnreachable):
            await post(url)

    asyncio.run(scenario())


def test_a_second_connection_saves_a_request_whose_first_one_could_not_be_opened() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer(b"{}"))
        await writer.drain()
        writer.close()

    async def scenario() -> NodeAnswer:
        async with listening(talk) as url:
            client = NodeClient()
            connect, calls = client._connections._opened, 0

            async def refuse_once(origin: str) -> Connection:
                nonlocal calls
                calls += 1
                if calls == 1:
                    raise NeverSent
                return await connect(origin)

            client._connections._opened = refuse_once  # type: ignore[method-assign]  # a socket cannot be told to fail once
            try:
                return await client.post(url, "secret", b"{}")
            finally:
                await client.close()

    assert asyncio.run(scenario()).status == 200


def test_an_answer_above_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_client, "ANSWER_BYTES_MAX", 1_000)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer(b"x" * 100_000))
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with listening(talk) as url:
            with pytest.raises(NodeFailed):
                await post(url)

    asyncio.run(scenario())


def test_a_redirect_is_not_followed() -> None:
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        await read_request(reader)
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def scenario() -> NodeAnswer:
        async with listening(talk) as url:
            return await post(url)

    assert asyncio.run(scenario()).status == 307
    assert requests == 1


def test_cancelling_a_request_closes_the_connection_to_the_node() -> None:
    async def scenario() -> None:
        arrived, closed = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            arrived.set()
            assert await reader.read() == b""
            closed.set()
            writer.close()

        async with listening(talk) as url:
            request = asyncio.create_task(post(url))
            await arrived.wait()
            request.cancel()
            await asyncio.wait_for(closed.wait(), PATIENCE_S)

    asyncio.run(scenario())
