"""How a session comes to be: an order is placed, the market decides, the lease is taken up or the reason told."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Principal
from backend.domain.errors import Unavailable
from backend.domain.ids import NodeId, OrderId
from backend.domain.leases import Progress
from backend.domain.orders import CloseReason
from backend.gateway.leases.leftovers import Leftovers
from backend.gateway.leases.session import Session, SessionKey
from backend.gateway.limits import SESSION_POLL_S, SESSION_WAIT_S
from backend.gateway.threads import Threads
from backend.services import sessions as service
from backend.storage.allowances import PooledLease
from backend.storage.sessions import Session as GrantedSession

L = TypeVar("L", GrantedSession, PooledLease)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who asks for a session of which line, and what they pay for a slot-second at most."""

    principal: Principal
    key: SessionKey
    limit_nano_per_slot_s: int | None = None


class Bell:
    """Wakes all who wait at the moment; who comes later waits for the next ring."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake them."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring, or after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()


@dataclass(frozen=True, slots=True)
class Ordering(Generic[L]):
    """How a lease is ordered under an id, looked for, and given up if there is such an order; each in a thread."""

    place: Callable[[OrderId], object]
    look: Callable[[OrderId], Progress[L]]
    give_up: Callable[[OrderId], bool]
    what: str


class Opener:
    """Orders leases and waits for them; what it ordered and nobody takes up is given up, however late that shows."""

    def __init__(self, market: Swarmex, threads: Threads) -> None:
        self.market = market
        self.granted = Bell()
        self._threads = threads
        self._leftovers = Leftovers(threads)

    async def lease(self, ordering: Ordering[L]) -> tuple[L, str, str]:
        """A lease that the market granted, with its node's endpoint and token.

        Raises what the order was refused for, or Unavailable after SESSION_WAIT_S. A lease that comes too late, or is
        not waited for any longer, is charged until that moment only.
        """
        order_id = OrderId(new_id())  # ours, so that it can be given up whether or not an answer comes
        placing: asyncio.Future[object] = self._threads.start(lambda: ordering.place(order_id))
        decided: tuple[L, str, str] | CloseReason | None = None
        try:
            await self._threads.within(placing)
            async with asyncio.timeout(SESSION_WAIT_S):
                decided = await self._decided(ordering, order_id)
        except TimeoutError:
            raise Unavailable("the market has not decided in time", code="no_lease_in_time") from None
        finally:
            if decided is None:
                self._leftovers.add(placing, order_id, ordering.give_up)
        if isinstance(decided, CloseReason):
            raise Unavailable(f"the market has no node for {ordering.what}", code=decided)
        return decided

    async def close(self) -> None:
        """Return when all that nobody waited for is given up."""
        await self._leftovers.close()

    async def _decided(self, ordering: Ordering[L], order_id: OrderId) -> tuple[L, str, str] | CloseReason:
        """The lease once its node can be asked, or why there never will be one; asks again with each ring."""
        while True:
            stand = await self._threads.run(lambda: ordering.look(order_id))
            if stand.refused:
                return stand.refused
            if (lease := stand.lease) and lease.endpoint and lease.token:
                return lease, lease.endpoint, lease.token
            await self.granted.wait(SESSION_POLL_S)


async def open_session(opener: Opener, wanted: Wanted, never: Collection[NodeId] = (), held_slots: int = 0) -> Session:
    """A session of one's own on no node in `never`; its line has `held_slots` already. Raises as `Opener.lease`."""
    key, uow = wanted.key, opener.market.uow

    def place(order_id: OrderId) -> object:
        limit = wanted.limit_nano_per_slot_s
        return service.open_session(
            uow(), utc_now(), wanted.principal, key.model, key.tier, limit,
            sla=key.sla, never=never, held_slots=held_slots, order_id=order_id,
        )  # fmt: skip

    ordering = Ordering(
        place,
        lambda order_id: service.progress(uow(), utc_now(), order_id),
        lambda order_id: service.abandon(uow(), utc_now(), order_id),
        "this session",
    )
    lease, endpoint, token = await opener.lease(ordering)
    return session_on(key, lease, endpoint, token, lease.granted_at, lease.window_ends_at)


def session_on(
    key: SessionKey,
    lease: GrantedSession | PooledLease,
    endpoint: str,
    token: str,
    granted_at: datetime,
    window_ends_at: datetime,
) -> Session:
    """A lease as this process uses it from now on."""
    return Session(
        key=key,
        lease_id=lease.lease_id,
        node_id=lease.node_id,
        node_name=lease.node_name,
        endpoint=endpoint,
        token=token,
        slots=lease.slots,
        price_nano_per_slot_s=lease.price_nano_per_slot_s,
        granted_at=granted_at,
        window_ends_at=window_ends_at,
        used_at=utc_now(),
        pool=lease if isinstance(lease, PooledLease) else None,
    )
