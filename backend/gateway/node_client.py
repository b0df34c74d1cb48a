"""The pooled connections from the gateway to the nodes' Open Inference Protocol servers."""

import asyncio
from dataclasses import dataclass
from math import ceil

import aiohttp

from backend.domain.errors import Unavailable
from backend.gateway.limits import (
    ANSWER_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_NODE_MAX,
    KEEP_ALIVE_S,
    REQUEST_TIMEOUT_S,
    SLOW_REQUEST_S,
)
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Breakers

ATTEMPTS_MAX = 2
# Raised before a whole request has left, so the node cannot have run it; anything later may have been.
NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectionResetError,
)


BROKEN_GATEWAYS = (502, 504)  # said in front of a node that is not there; its own 500 and 503 may be a request's doing


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


class AnswerTooLarge(NodeFailed):
    """More than is read of an answer: the request may have asked for it."""


class NodeCircuitOpen(Unavailable):
    """The node failed too often lately: nothing was sent to it, here or in another process."""

    code = "node_circuit_open"

    def __init__(self, retry_s: float) -> None:
        super().__init__("the node is given time to recover")
        self.retry_after_s = max(1, ceil(retry_s))


NODE_BREAKER = "node"  # one for each address that nodes are served at
NODE_POLICY = BreakerPolicy(
    fail_max=5, rate=0.5, volume_min=20, window_s=30.0, recovery_s=2.0, slow_s=SLOW_REQUEST_S, exclude=(AnswerTooLarge,)
)


class NodeClient:
    """One HTTP client for all nodes; it must be made inside the event loop. `breakers` are started, not closed."""

    def __init__(self, timeout_s: float = REQUEST_TIMEOUT_S, breakers: Breakers | None = None) -> None:
        self._timeout_s = timeout_s
        self._breakers = breakers or Breakers()
        self._breakers.start()
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
        """The node's answer; raises NodeUnreachable, NodeFailed or, without asking it, NodeCircuitOpen.

        Cancelling it closes the connection to the node.
        """
        breaker = self._breakers.get(NODE_BREAKER, url.split("/", 3)[2], NODE_POLICY)
        try:
            return await breaker.call_async(self._ask, url, token, body)
        except BreakerOpen as refusal:
            raise NodeCircuitOpen(refusal.retry_s) from refusal

    async def _ask(self, url: str, token: str, body: bytes) -> NodeAnswer:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._post(url, {"Authorization": f"Bearer {token}"}, body)
        except NEVER_SENT as error:
            raise NodeUnreachable("the node cannot be reached") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NodeFailed("the node did not finish the request") from error
        if answer.status in BROKEN_GATEWAYS:
            raise NodeFailed(f"the node's gateway answered {answer.status}")
        return answer

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
            raise AnswerTooLarge(f"the node's answer is above {ANSWER_BYTES_MAX} bytes")
    return bytes(body)
