"""The tier of a request on its way from the gateway to the node: said by the gateway, by whichever way it goes."""

import asyncio
from collections.abc import Mapping

import pytest

from backend.domain.joining import POLLED
from backend.domain.tiers import TierName
from backend.domain.urgency import TIER_HEADER
from backend.gateway.routing.node_client import NodeAnswer, NodeClient
from tests.unit.gateway.test_node_client import answer, listening, read_request


class Polled:
    """The way to a node that cannot be dialled; remembers headers."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, str]] = []

    def check(self, body: bytes | memoryview) -> None:
        """Nothing is too large."""

    async def post(
        self, _url: str, headers: Mapping[str, str], _body: bytes | memoryview, _timeout_s: float
    ) -> NodeAnswer:
        self.seen.append(headers)
        return NodeAnswer(200, b"{}")


@pytest.mark.parametrize("tier", list(TierName))
def test_a_node_that_is_dialled_is_told_the_tier_once(tier: TierName) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(answer(b"{}"))
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        client = NodeClient()
        async with listening(talk) as url:
            await client.ask(url, "secret", b"{}", None, lambda told: told, tier=tier)
        await client.close()

    asyncio.run(scenario())
    assert seen[0].count(f"\r\n{TIER_HEADER}: {tier.value}\r\n".encode()) == 1
    assert seen[0].lower().count(TIER_HEADER.lower().encode()) == 1


def test_a_node_that_fetches_its_requests_is_told_it_as_well() -> None:
    async def scenario() -> Polled:
        way = Polled()
        client = NodeClient(polled=way)
        await client.ask(f"{POLLED}node/v2", "", b"{}", None, lambda told: told, tier=TierName.LARGE)
        await client.close()
        return way

    assert asyncio.run(scenario()).seen[0][TIER_HEADER] == TierName.LARGE
