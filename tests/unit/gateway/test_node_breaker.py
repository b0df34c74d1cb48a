"""A node that fails too often is left alone for a while, and told from its neighbours and from its users' mistakes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from backend.gateway.routing import node_client
from backend.gateway.routing.node_client import (
    NODE_POLICY,
    AnswerTooLarge,
    NodeAnswer,
    NodeAnswered,
    NodeBusy,
    NodeCircuitOpen,
    NodeClient,
    NodeFailed,
    NodeUnreachable,
)
from backend.messaging.breakers import Breakers
from tests.unit.gateway.test_node_client import Talk, answer, listening, read_request
from tests.unit.messaging.breaking import Clock

FAIL_MAX = NODE_POLICY.fail_max or 0
GOOD = answer(b"{}", b"Connection: close")


def talking(reply: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(reply)
        await writer.drain()
        writer.close()

    return talk


def with_client(scenario: Callable[[NodeClient, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Clock()
        client = NodeClient(2.0, Breakers(clock=clock))
        try:
            await scenario(client, clock)
        finally:
            await client.close()

    asyncio.run(run())


async def refused(client: NodeClient, url: str, error: type[Exception], times: int = FAIL_MAX) -> None:
    for _ in range(times):
        with pytest.raises(error):
            await client.post(url, "secret", b"{}")


def test_after_failures_in_a_row_a_node_is_not_asked_until_it_had_time_to_recover() -> None:
    asked = 0

    async def scenario(client: NodeClient, clock: Clock) -> None:
        async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            await read_request(reader)
            writer.close()

        async with listening(broken) as url, listening(talking(GOOD)) as other:
            await refused(client, url, NodeFailed)
            with pytest.raises(NodeCircuitOpen) as caught:
                await client.post(url, "secret", b"{}")
            assert (caught.value.code, caught.value.retry_after_s) == ("node_circuit_open", NODE_POLICY.recovery_s)
            assert asked == FAIL_MAX
            assert (await client.post(other, "secret", b"{}")).status == 200, "another node has a breaker of its own"
            clock.pass_s(NODE_POLICY.recovery_s)
            await refused(client, url, NodeFailed, 1)
            await refused(client, url, NodeCircuitOpen, 1)
            assert asked == FAIL_MAX + 1

    with_client(scenario)


def test_a_node_that_is_back_is_used_again_after_one_good_answer() -> None:
    async def scenario(client: NodeClient, clock: Clock) -> None:
        async with listening(talking(b"")) as url:
            port = int(url.split(":")[2].split("/")[0])
        await refused(client, url, NodeUnreachable)
        clock.pass_s(NODE_POLICY.recovery_s)
        server = await asyncio.start_server(talking(GOOD), "127.0.0.1", port)
        async with server:
            for _ in range(2):
                assert (await client.post(url, "secret", b"{}")).status == 200

    with_client(scenario)


def test_a_gateway_in_front_of_a_dead_node_counts_as_its_failure() -> None:
    async def scenario(client: NodeClient, _: Clock) -> None:
        async with listening(talking(GOOD.replace(b"200 OK", b"502 Bad Gateway"))) as url:
            await refused(client, url, NodeFailed)
            await refused(client, url, NodeCircuitOpen, 1)

    with_client(scenario)


def test_an_answer_that_a_request_brought_about_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_client, "ANSWER_BYTES_MAX", 1_000)

    async def scenario(client: NodeClient, _: Clock) -> None:
        async with listening(talking(answer(b"x" * 2_000, b"Connection: close"))) as url:
            await refused(client, url, AnswerTooLarge, 2 * FAIL_MAX)
        async with listening(talking(GOOD.replace(b"200 OK", b"500 Broken"))) as url:
            for _attempt in range(2 * FAIL_MAX):
                assert (await client.post(url, "secret", b"{}")).status == 500

    with_client(scenario)


@pytest.mark.parametrize(("error", "counts"), [(NodeFailed, True), (NodeAnswered, False), (NodeBusy, False)])
def test_an_answer_counts_by_what_its_reader_makes_of_it(error: type[NodeFailed], *, counts: bool) -> None:
    def read(_: NodeAnswer) -> None:
        raise error("it is no result")

    async def scenario(client: NodeClient, clock: Clock) -> None:
        async with listening(talking(GOOD)) as url:
            endpoint = url.removesuffix("/v2/models/m/infer")
            for _attempt in range(FAIL_MAX):
                assert not client.refuses(endpoint)
                with pytest.raises(error):
                    await client.ask(url, "secret", b"{}", None, read)
            assert client.refuses(endpoint) is counts
            clock.pass_s(NODE_POLICY.recovery_s)
            assert not client.refuses(endpoint), "somebody may try it"

    with_client(scenario)


def test_users_who_hang_up_do_not_count() -> None:
    async def scenario(client: NodeClient, _: Clock) -> None:
        may_answer = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            await may_answer.wait()
            writer.write(GOOD)
            writer.close()

        async with listening(slow) as url:
            for _attempt in range(2 * FAIL_MAX):
                task = asyncio.create_task(client.post(url, "secret", b"{}"))
                await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            may_answer.set()
            assert (await client.post(url, "secret", b"{}")).status == 200

    with_client(scenario)


def test_answers_that_take_too_long_count_as_failures() -> None:
    async def scenario(client: NodeClient, clock: Clock) -> None:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            clock.pass_s(NODE_POLICY.slow_s or 0.0)
            writer.write(GOOD)
            writer.close()

        async with listening(slow) as url:
            for _ in range(FAIL_MAX):
                assert (await client.post(url, "secret", b"{}")).status == 200
            await refused(client, url, NodeCircuitOpen, 1)

    with_client(scenario)
