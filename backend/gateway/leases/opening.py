"""How a session comes to be: an order is placed, the market decides, the lease is taken up or the reason told."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import structlog

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Principal
from backend.domain.errors import Unavailable
from backend.domain.ids import NodeId, OrderId
from backend.domain.orders import CloseReason
from backend.gateway.errors import code_of
from backend.gateway.leases.session import Session, SessionKey
from backend.gateway.limits import SESSION_POLL_S, SESSION_WAIT_S
from backend.gateway.threads import Threads
from backend.services import sessions as service
from backend.storage.allowances import PooledLease
from backend.storage.sessions import Session as GrantedSession

log = structlog.get_logger(__name__)

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
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return


async def open_session(
    market: Swarmex,
    threads: Threads,
    granted: Bell,
    wanted: Wanted,
    never: Collection[NodeId] = (),
    held_slots: int = 0,
) -> Session:
    """A session that the market granted; raises what the order was refused for, or Unavailable after SESSION_WAIT_S.

    It is on no node in `never`; its line has `held_slots` already. What is not taken up by then, or is not waited for
    any longer, is given up: a lease that came too late is charged until that moment only.
    """
    key = wanted.key
    ordering = asyncio.create_task(
        threads.run(
            lambda: service.open_session(
                market.uow(),
                utc_now(),
                wanted.principal,
                key.model,
                key.tier,
                wanted.limit_nano_per_slot_s,
                sla=key.sla,
                never=never,
                held_slots=held_slots,
            )
        )
    )
    try:
        order_id = await asyncio.shield(ordering)
        async with asyncio.timeout(SESSION_WAIT_S):
            return await _granted(market, threads, granted, key, order_id)
    except TimeoutError:
        await _give_up(market, threads, ordering)
        raise Unavailable("the market has not decided in time", code="no_lease_in_time") from None
    except asyncio.CancelledError:
        await _give_up(market, threads, ordering)
        raise


async def _give_up(market: Swarmex, threads: Threads, ordering: asyncio.Task[OrderId]) -> None:
    """If the coordinator does not hear it, settlement ends the lease when its window is over."""
    try:
        order_id = await ordering
        await threads.run(lambda: service.abandon(market.uow(), utc_now(), order_id))
    except Exception as error:
        log.warning("session_not_given_up", code=code_of(error))


async def until_granted(
    threads: Threads, granted: Bell, look: Callable[[], tuple[L | None, CloseReason | None]], what: str
) -> tuple[L, str, str]:
    """A lease once its node can be asked, with the node's endpoint and token; asks again with each ring.

    `look` tells the lease if there is one, or why there never will be; then raises Unavailable with that code.
    """
    while True:
        lease, refused = await threads.run(look)
        if refused:
            raise Unavailable(f"the market has no node for {what}", code=refused)
        if lease and lease.endpoint and lease.token:
            return lease, lease.endpoint, lease.token
        await granted.wait(SESSION_POLL_S)


async def _granted(market: Swarmex, threads: Threads, granted: Bell, key: SessionKey, order_id: OrderId) -> Session:
    def look() -> tuple[GrantedSession | None, CloseReason | None]:
        stand = service.progress(market.uow(), utc_now(), order_id)
        return stand.session, stand.refused

    return _session(key, *await until_granted(threads, granted, look, "this session"))


def _session(key: SessionKey, granted: GrantedSession, endpoint: str, token: str) -> Session:
    return Session(
        key=key,
        lease_id=granted.lease_id,
        node_id=granted.node_id,
        node_name=granted.node_name,
        endpoint=endpoint,
        token=token,
        slots=granted.slots,
        price_nano_per_slot_s=granted.price_nano_per_slot_s,
        granted_at=granted.granted_at,
        window_ends_at=granted.window_ends_at,
        used_at=utc_now(),
    )
