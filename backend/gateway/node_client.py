"""The pooled connections from the gateway to the nodes' Open Inference Protocol servers."""

import asyncio
from dataclasses import dataclass

import aiohttp

from backend.domain.errors import Unavailable
from backend.gateway.limits import (
    ANSWER_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_NODE_MAX,
    KEEP_ALIVE_S,
    REQUEST_TIMEOUT_S,
)

ATTEMPTS_MAX = 2
# Raised before a whole request has left, so the node cannot have run it; anything later may have been.
NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectionResetError,
)


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node said; not trusted, only bounded."""

    status: int
    body: bytes


class NodeUnreachable(Unavailable):
    """The node could not be dialled: nothing was sent to it."""

    code = "node_unreachable"


class NodeFailed(Unavailable):
    """The node broke off, was too slow, or answered nonsense."""

    code = "node_failed"


class NodeClient:
    """One HTTP client for all nodes; it must be made inside the event loop."""

    def __init__(self, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS_MAX, limit_per_host=CONNECTIONS_PER_NODE_MAX, keepalive_timeout=KEEP_ALIVE_S
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            # An answer travels as the node wrote it: a compressed one could unfold to any size.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            headers={"Content-Type": "application/json"},
        )

    async def post(self, url: str, token: str, body: bytes) -> NodeAnswer:
        """The node's answer; raises NodeUnreachable or NodeFailed. Cancelling it closes the connection to the node."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(url, {"Authorization": f"Bearer {token}"}, body)
        except NEVER_SENT as error:
            raise NodeUnreachable("the node cannot be reached") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NodeFailed("the node did not finish the request") from error

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> NodeAnswer:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as response:
                    return NodeAnswer(response.status, await _read(response))
            except NEVER_SENT:
                if attempt == ATTEMPTS_MAX:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise NodeFailed(f"the node's answer is above {ANSWER_BYTES_MAX} bytes")
    return bytes(body)
