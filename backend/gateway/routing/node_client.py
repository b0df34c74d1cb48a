"""The pooled connections from the gateway to the nodes' Open Inference Protocol servers."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Protocol, TypeVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from backend.domain.errors import Unavailable
from backend.domain.joining import is_polled
from backend.domain.tensors import HEADER_LENGTH
from backend.gateway.limits import (
    ANSWER_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_NODE_MAX,
    KEEP_ALIVE_S,
    REQUEST_TIMEOUT_S,
    SLOW_REQUEST_S,
)
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Breakers
from backend.messaging.tracing import carried

T = TypeVar("T")

ATTEMPTS_MAX = 2
JOINED_BYTES_MAX = 1 << 16
READ_BYTES = 1 << 20  # of an answer before its reader is asked to take them
# Raised before a whole request has left, so the node cannot have run it; anything later may have been.
NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectionResetError,
)


BUSY_HEADER = "Swarmex-Busy-Us"
BUSY_DIGITS_MAX = 15
BROKEN_GATEWAYS = (502, 504)  # said in front of a node that is not there; its own 500 and 503 may be a request's doing


class Tensors(aiohttp.Payload):
    """A body that is handed to the system as it is, in one go, however large: it is in memory already."""

    _value: bytes | memoryview

    def __init__(self, body: bytes | memoryview) -> None:
        super().__init__(body)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it; if it is large, after its headers instead of joined with them."""
        if len(self._value) > JOINED_BYTES_MAX:
            writer.send_headers()
        await writer.write(self._value)


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node said; not trusted, only bounded."""

    status: int
    body: bytes | bytearray
    header_length: str | None = None  # of its JSON part, where it says so
    busy_us: int | None = None  # that its engine took, where it says so


class NodeUnreachable(Unavailable):
    """The node could not be reached: nothing was sent to it."""

    code = "node_unreachable"


class NodeFailed(Unavailable):
    """The node broke off, was too slow, or answered nonsense."""

    code = "node_failed"


class NodeAnswered(NodeFailed):
    """It answered, though no result: that may be the request's doing, so it says nothing of the node to others."""


class NodeBusy(NodeAnswered):
    """It has no place for the request, which it has not begun."""

    code = "node_busy"


class NodeChanged(NodeAnswered):
    """Another agent serves there by now, which does not know our token."""


class AnswerTooLarge(NodeAnswered):
    """More than is read of an answer: the request may have asked for it."""


class NodeCircuitOpen(Unavailable):
    """The node failed too often lately: nothing was sent to it, here or in another process."""

    code = "node_circuit_open"

    def __init__(self, retry_s: float) -> None:
        super().__init__("the node is given time to recover")
        self.retry_after_s = max(1, ceil(retry_s))


NODE_BREAKER = "node"  # one for each address that nodes are served at
NODE_POLICY = BreakerPolicy(
    fail_max=5, rate=0.5, volume_min=20, window_s=30.0, recovery_s=2.0, slow_s=SLOW_REQUEST_S, exclude=(NodeAnswered,)
)


class Way(Protocol):
    """Another way to a node than by dialling it."""

    def check(self, body: bytes | memoryview) -> None:
        """Raise TooLarge for a request that does not go this way, whatever the node."""
        ...

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes | memoryview, timeout_s: float
    ) -> NodeAnswer:
        """The node's answer; raises NodeUnreachable, NodeFailed."""
        ...


class NodeClient:
    """One client for all nodes; it must be made inside the event loop. `breakers` are started, not closed.

    Nodes with a `polled://` URL go by `polled`, all others are dialled.
    """

    def __init__(
        self, timeout_s: float = REQUEST_TIMEOUT_S, breakers: Breakers | None = None, polled: Way | None = None
    ) -> None:
        self.timeout_s = timeout_s
        self._polled = polled
        self._breakers = breakers or Breakers()
        self._breakers.start()
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS_MAX, limit_per_host=CONNECTIONS_PER_NODE_MAX, keepalive_timeout=KEEP_ALIVE_S
            ),
            read_bufsize=READ_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            # An answer travels as the node wrote it: a compressed one could unfold to any size.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
        )

    def refuses(self, endpoint: str) -> bool:
        """Whether the breaker of who serves there is open: a request would be refused without being sent."""
        return self._breaker(endpoint).retry_s > 0.0

    async def post(
        self, url: str, token: str, body: bytes | memoryview, header_length: int | None = None
    ) -> NodeAnswer:
        """The node's answer, whatever it is; see `ask`."""
        return await self.ask(url, token, body, header_length, lambda answer: answer)

    async def ask(
        self,
        url: str,
        token: str,
        body: bytes | memoryview,
        header_length: int | None,
        read: Callable[[NodeAnswer], T],
        timeout_s: float | None = None,
    ) -> T:
        """What `read` makes of the node's answer; raises NodeUnreachable, NodeFailed or, unasked, NodeCircuitOpen.

        Raw buffers follow the first `header_length` bytes of `body`, unless all of it is JSON. An answer for which
        `read` raises NodeFailed counts against the node, NodeAnswered does not. `timeout_s` shortens the client's own
        time-out. Cancelling it closes the connection to the node.
        """
        within_s = self.timeout_s if timeout_s is None else min(timeout_s, self.timeout_s)
        if self._polled and is_polled(url):
            self._polled.check(body)
        try:
            return await self._breaker(url).call_async(
                self._ask, url, _headers(token, header_length), body, read, within_s
            )
        except BreakerOpen as refusal:
            raise NodeCircuitOpen(refusal.retry_s) from refusal

    def _breaker(self, url: str) -> Breaker:
        return self._breakers.get(NODE_BREAKER, url.split("/", 3)[2], NODE_POLICY)

    async def _ask(
        self,
        url: str,
        headers: dict[str, str],
        body: bytes | memoryview,
        read: Callable[[NodeAnswer], T],
        timeout_s: float,
    ) -> T:
        if self._polled and is_polled(url):
            answer = await self._polled.post(url, headers, body, timeout_s)
        else:
            answer = await self._dial(url, headers, body, timeout_s)
        if answer.status in BROKEN_GATEWAYS:
            raise NodeFailed(f"the node's gateway answered {answer.status}")
        return read(answer)

    async def _dial(self, url: str, headers: dict[str, str], body: bytes | memoryview, timeout_s: float) -> NodeAnswer:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._post(url, headers, body)
        except NEVER_SENT as error:
            raise NodeUnreachable("the node cannot be reached") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NodeFailed("the node did not finish the request") from error

    async def _post(self, url: str, headers: dict[str, str], body: bytes | memoryview) -> NodeAnswer:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                async with self._http.post(url, data=Tensors(body), headers=headers, allow_redirects=False) as response:
                    return NodeAnswer(
                        response.status,
                        await _read(response),
                        response.headers.get(HEADER_LENGTH),
                        _busy_us(response.headers.get(BUSY_HEADER, "")),
                    )
            except NEVER_SENT:
                if attempt == ATTEMPTS_MAX:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()


def _busy_us(told: str) -> int | None:
    return int(told) if told.isdecimal() and len(told) < BUSY_DIGITS_MAX else None


def _headers(token: str, header_length: int | None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if header_length is not None:
        headers |= {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(header_length)}
    if (trace := carried()) is not None:
        headers["traceparent"] = trace
    return headers


async def _read(response: aiohttp.ClientResponse) -> bytearray:
    """The answer's body, written once into its place, which grows only where no length was declared."""
    body, filled = bytearray(min(response.content_length or 0, ANSWER_BYTES_MAX)), 0
    async for chunk, _ in response.content.iter_chunks():
        body[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
        if filled > ANSWER_BYTES_MAX:
            raise AnswerTooLarge(f"the node's answer is above {ANSWER_BYTES_MAX} bytes")
    return body
