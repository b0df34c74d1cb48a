"""The pooled connections from the gateway to the nodes' Open Inference Protocol servers."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Protocol, TypeVar

from backend.domain.errors import Unavailable
from backend.domain.joining import is_polled
from backend.domain.tensors import HEADER_LENGTH
from backend.domain.tiers import TierName
from backend.domain.urgency import TIER_HEADER, tier_named
from backend.gateway.deadlines import Deadlines
from backend.gateway.limits import (
    ANSWER_BYTES_MAX,
    REQUEST_TIMEOUT_S,
    SLOW_REQUEST_S,
)
from backend.gateway.routing.answer_reader import AboveLimit, BrokenOff, Reply
from backend.gateway.routing.connection import NeverSent
from backend.gateway.routing.connections import Connections
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Breakers
from backend.messaging.tracing import carried

T = TypeVar("T")

ATTEMPTS_MAX = 2
BUSY_HEADER = b"swarmex-busy-us"
LENGTH_HEADER = HEADER_LENGTH.lower().encode()
BUSY_DIGITS_MAX = 15
BROKEN_GATEWAYS = (502, 504)  # said in front of a node that is not there; its own 500 and 503 may be a request's doing


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node said; not trusted, only bounded."""

    status: int
    body: bytes | bytearray | memoryview
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
        self._connections = Connections(ANSWER_BYTES_MAX)
        self._deadlines = Deadlines()

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
        tier: str = TierName.MEDIUM,
    ) -> T:
        """What `read` makes of the node's answer; raises NodeUnreachable, NodeFailed or, unasked, NodeCircuitOpen.

        Raw buffers follow the first `header_length` bytes of `body`, unless all of it is JSON. An answer for which
        `read` raises NodeFailed counts against the node, NodeAnswered does not. `timeout_s` shortens the client's own
        time-out. `tier` says how urgent it is. Cancelling it closes the connection to the node.
        """
        within_s = self.timeout_s if timeout_s is None else min(timeout_s, self.timeout_s)
        if self._polled and is_polled(url):
            self._polled.check(body)
        try:
            return await self._breaker(url).call_async(
                self._ask, url, _headers(token, header_length, tier), body, read, within_s
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
        scheme, _, netloc, path = url.split("/", 3)
        head = _head(netloc, path, headers, len(body))
        try:
            with self._deadlines.within(timeout_s):
                reply = await self._ask_once(f"{scheme}//{netloc}", head, body, tier_named(headers[TIER_HEADER]))
        except NeverSent as error:
            raise NodeUnreachable("the node cannot be reached") from error
        except AboveLimit as error:
            raise AnswerTooLarge(f"the node's answer is above {ANSWER_BYTES_MAX} bytes") from error
        except (BrokenOff, TimeoutError) as error:
            raise NodeFailed("the node did not finish the request") from error
        said = reply.headers
        busy_us = _busy_us(said.get(BUSY_HEADER, b""))
        length = said.get(LENGTH_HEADER)
        return NodeAnswer(reply.status, reply.body, length.decode("latin-1") if length is not None else None, busy_us)

    async def _ask_once(self, origin: str, head: bytes, body: bytes | memoryview, tier: TierName) -> Reply:
        """Ask; a second time only if the first cannot have left."""
        for _ in range(ATTEMPTS_MAX - 1):
            with suppress(NeverSent):
                return await self._connections.ask(origin, head, body, tier)
        return await self._connections.ask(origin, head, body, tier)

    async def close(self) -> None:
        """Close all connections."""
        self._connections.close()


def _busy_us(told: bytes) -> int | None:
    return int(told) if told.isdigit() and len(told) < BUSY_DIGITS_MAX else None


def _headers(token: str, header_length: int | None, tier: str) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", TIER_HEADER: tier}
    if header_length is not None:
        headers |= {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(header_length)}
    if (trace := carried()) is not None:
        headers["traceparent"] = trace
    return headers


def _head(netloc: str, path: str, headers: Mapping[str, str], body_bytes: int) -> bytes:
    """The request's head; raises NodeUnreachable where what others told us would not be one line each."""
    lines = (
        f"POST /{path} HTTP/1.1",
        f"Host: {netloc}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Length: {body_bytes}",
    )
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise NodeUnreachable("the node's address or token is none")
    return "\r\n".join((*lines, "", "")).encode()
