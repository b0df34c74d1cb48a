"""What remote nodes need of this process: their keys, their polls, and patience with wrong tokens."""

import asyncio
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Lock
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from backend.api.node_polls import NodePolls
from backend.bootstrap import Swarmex
from backend.domain.errors import Unauthenticated
from backend.domain.joining import NodePrincipal
from backend.gateway.cache import Cache
from backend.gateway.callers import SCOPE_KEY
from backend.gateway.errors import Busy
from backend.gateway.gateway import Gateway
from backend.gateway.keys import SECRET_CHARS_MAX
from backend.gateway.mail.polls import MailPolls
from backend.services import joining, node_work

NODE_KEYS_MAX = 10_000
REFUSALS_PER_ADDRESS_MAX = 10
REFUSALS_MAX = 300  # of all addresses together
REFUSED_WITHIN_S = 60.0
ADDRESSES_MAX = 10_000

_bearer = HTTPBearer(auto_error=False, scheme_name="NodeKey", description="A node's key: `Bearer swn_…`")


class NodeKeys:
    """Keys of remote nodes in use, by the SHA-256 of their secrets, as `gateway.keys` keeps those of accounts."""

    def __init__(self, market: Swarmex, gateway: Gateway) -> None:
        self._market = market
        self._changes = gateway.changes
        self._cache: Cache[bytes, NodePrincipal] = Cache(gateway.threads, NODE_KEYS_MAX)
        gateway.changes.watch("keys", self._cache.clear)

    async def principal(self, secret: str) -> NodePrincipal:
        """Whose key it is; raises Unauthenticated, or Unavailable while it cannot be known."""
        if not secret.isascii() or len(secret) > SECRET_CHARS_MAX:
            raise Unauthenticated("this is not a node's key", field="Authorization", accepted="Bearer swn_…")
        self._changes.require_fresh()
        digest = hashlib.sha256(secret.encode()).digest()
        return await self._cache.get(digest, lambda: joining.authenticate_node(self._market.uow(), secret))


class Refusals:
    """Refused tokens of the last minute: who guesses is soon not answered any more, and neither is a crowd of them.

    Safe for several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=REFUSALS_MAX)

    def check(self, address: str) -> None:
        """Raise Busy(`too_many_attempts`) for an address, or a time, with too many refusals."""
        with self._lock:
            own = self._by_address.get(address, deque())
            full = self._full(own, REFUSALS_PER_ADDRESS_MAX) or self._full(self._all, REFUSALS_MAX)
        if full:
            raise Busy("too many tokens were refused", code="too_many_attempts", accepted="try again in a minute")

    def refused(self, address: str) -> None:
        """Remember one."""
        with self._lock:
            own = self._by_address.setdefault(address, deque(maxlen=REFUSALS_PER_ADDRESS_MAX))
            self._by_address.move_to_end(address)
            if len(self._by_address) > ADDRESSES_MAX:
                self._by_address.popitem(last=False)
            own.append(self._clock())
            self._all.append(self._clock())

    def _full(self, refused: "deque[float]", most: int) -> bool:
        return len(refused) == most and refused[0] > self._clock() - REFUSED_WITHIN_S


class NodeSide:
    """Made by `running`, inside the event loop."""

    def __init__(self, market: Swarmex, gateway: Gateway) -> None:
        self.keys = NodeKeys(market, gateway)
        self.refusals = Refusals()
        self.polls = NodePolls(lambda queues: node_work.waited_for(market.uow(), queues), gateway.threads, market.bus)
        self.mailbox = gateway.mailbox
        self.requests = MailPolls(gateway.mailbox)

    @staticmethod
    @asynccontextmanager
    async def running(market: Swarmex, gateway: Gateway) -> AsyncIterator["NodeSide"]:
        """One that answers polls until the block ends."""
        side = NodeSide(market, gateway)
        try:
            yield side
        finally:
            await asyncio.shield(side.requests.close())
            await asyncio.shield(side.polls.close())


async def side_of(request: Request) -> NodeSide:
    """This process's side towards remote nodes."""
    side: NodeSide = request.app.state.node_side
    return side


async def node_key(
    request: Request,
    side: Annotated[NodeSide, Depends(side_of)],
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],  # for the schema
) -> NodePrincipal:
    """The node whose key was shown; raises Unauthenticated."""
    scheme, _space, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("no node key", field="Authorization", accepted="Bearer followed by a node's key")
    principal = await side.keys.principal(secret)
    request.scope[SCOPE_KEY] = principal
    return principal


Side = Annotated[NodeSide, Depends(side_of)]
RemoteNode = Annotated[NodePrincipal, Depends(node_key)]
