"""How a session comes to be: an order is placed, the market decides, the lease is taken up or the reason told."""

import asyncio

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Principal
from backend.domain.errors import Unavailable
from backend.domain.ids import OrderId
from backend.gateway.limits import SESSION_POLL_S, SESSION_WAIT_S
from backend.gateway.session import Session, SessionKey
from backend.gateway.threads import Threads
from backend.services import sessions as service
from backend.storage.sessions import Session as GrantedSession


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
    key: SessionKey,
    principal: Principal,
    limit_nano_per_slot_s: int | None,
) -> Session:
    """A session that the market granted; raises what the order was refused for, or Unavailable after SESSION_WAIT_S.

    An order that is still open by then ends at its own deadline.
    """
    order_id = await threads.run(
        lambda: service.open_session(
            market.uow(), utc_now(), principal, key.model, key.tier, limit_nano_per_slot_s, sla=key.sla
        )
    )
    try:
        async with asyncio.timeout(SESSION_WAIT_S):
            return await _granted(market, threads, granted, key, order_id)
    except TimeoutError:
        raise Unavailable("the market has not decided in time", code="no_lease_in_time") from None


async def _granted(market: Swarmex, threads: Threads, granted: Bell, key: SessionKey, order_id: OrderId) -> Session:
    while True:
        stand = await threads.run(lambda: service.progress(market.uow(), utc_now(), order_id))
        if stand.refused:
            raise Unavailable("the market has no node for this session", code=stand.refused)
        if stand.session and stand.session.endpoint and stand.session.token:
            return _session(key, stand.session, stand.session.endpoint, stand.session.token)
        await granted.wait(SESSION_POLL_S)


def _session(key: SessionKey, granted: GrantedSession, endpoint: str, token: str) -> Session:
    return Session(
        key=key,
        lease_id=granted.lease_id,
        node_name=granted.node_name,
        endpoint=endpoint,
        token=token,
        slots=granted.slots,
        price_nano_per_slot_s=granted.price_nano_per_slot_s,
        granted_at=granted.granted_at,
        window_ends_at=granted.window_ends_at,
        used_at=utc_now(),
    )
