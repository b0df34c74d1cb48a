"""Connections to all nodes: reused while they are fresh, bounded for each node and together."""

import asyncio
import ssl
from collections import deque
from urllib.parse import urlsplit

from backend.domain.tiers import TierName
from backend.gateway.limits import (
    ANSWER_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_NODE_MAX,
    KEEP_ALIVE_S,
)
from backend.gateway.routing.answer_reader import Reply
from backend.gateway.routing.connection import Connection, NeverSent
from backend.gateway.routing.gate import Gate


class _Node:
    """What is known of one origin: who may ask it at once, and the connections that wait for the next request."""

    __slots__ = ("idle", "places", "users")

    def __init__(self) -> None:
        self.idle: deque[Connection] = deque()  # the one used last at its end
        self.places = Gate(CONNECTIONS_PER_NODE_MAX)
        self.users = 0


class Connections:
    """One connection for each request that is under way; made and used inside one event loop."""

    def __init__(self, answer_bytes_max: int = ANSWER_BYTES_MAX) -> None:
        self._answer_bytes_max = answer_bytes_max
        self._loop = asyncio.get_running_loop()
        self._places = Gate(CONNECTIONS_MAX)
        self._nodes: dict[str, _Node] = {}
        self._idle = 0
        self._tls: ssl.SSLContext | None = None  # made once, for the first node that wants it: it reads many files
        self._swept_s = self._loop.time()

    async def ask(self, origin: str, head: bytes, body: bytes | memoryview, tier: TierName = TierName.MEDIUM) -> Reply:
        """The answer to a request of whoever is at `origin` ("http://host:port"), waiting for a place if all are taken.

        Those who wait are let in by how urgent their tier is.

        Raises NeverSent when it cannot have left, BrokenOff when it may have. Cancelling it hangs up.
        """
        node = self._nodes.get(origin)
        if node is None:
            node = self._nodes[origin] = _Node()
        node.users += 1
        try:
            with await node.places.place(tier), await self._places.place(tier):
                connection = self._fresh(node) or await self._opened(origin)
                try:
                    return await connection.ask(head, body)
                finally:
                    self._keep(node, connection)
        finally:
            node.users -= 1

    def close(self) -> None:
        """Hang up wherever nobody waits for an answer."""
        self._sweep(float("inf"))

    def _fresh(self, node: _Node) -> Connection | None:
        oldest_s = self._loop.time() - KEEP_ALIVE_S
        while node.idle:
            connection = node.idle.pop()
            self._idle -= 1
            if connection.open and connection.idle_since_s > oldest_s:
                return connection
            connection.close()
        return None

    async def _opened(self, origin: str) -> Connection:
        try:
            parts = urlsplit(origin)
            secure = parts.scheme == "https"
            if secure and self._tls is None:
                self._tls = ssl.create_default_context()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._answer_bytes_max),
                    parts.hostname or "",
                    parts.port or (443 if secure else 80),
                    ssl=self._tls if secure else None,
                )
        except (OSError, ValueError, TimeoutError) as error:  # ValueError: a host that is none
            raise NeverSent(repr(error)) from error
        return connection

    def _keep(self, node: _Node, connection: Connection) -> None:
        """Put it by for the next request, if it can serve one."""
        now_s = self._loop.time()
        if connection.open and self._idle < CONNECTIONS_MAX:
            connection.idle_since_s = now_s
            node.idle.append(connection)
            self._idle += 1
        else:
            connection.close()
        if now_s - self._swept_s >= KEEP_ALIVE_S:
            self._sweep(now_s)

    def _sweep(self, now_s: float) -> None:
        """Hang up what was idle for too long, and forget nodes that nobody asks any more."""
        self._swept_s = now_s
        for origin, node in list(self._nodes.items()):
            while node.idle and node.idle[0].idle_since_s <= now_s - KEEP_ALIVE_S:
                node.idle.popleft().close()
                self._idle -= 1
            if not node.idle and not node.users:
                del self._nodes[origin]
