"""How a pooled lease comes to be: ordered for all users of this process, granted by the market or refused."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Spender
from backend.domain.allowances import POOL_ID
from backend.domain.errors import Unavailable
from backend.domain.ids import GatewayId, NodeId, OrderId
from backend.domain.orders import CloseReason
from backend.domain.tiers import TierName
from backend.gateway.leases.opening import Bell, until_granted
from backend.gateway.leases.session import Session, SessionKey
from backend.gateway.limits import SESSION_WAIT_S
from backend.gateway.threads import Threads
from backend.services import pools
from backend.services.pools import POOL_TIER
from backend.storage.allowances import PooledLease

FOR_EVER = datetime.max.replace(tzinfo=UTC)  # nothing is prepaid, so no window ends


def line_spender(spender: Spender, tier: TierName) -> Spender:
    """Whose leases a request is served on: the user's own, or those that all users of tier small share."""
    return Spender(POOL_ID) if tier is POOL_TIER else spender


async def open_pooled(
    market: Swarmex,
    threads: Threads,
    granted: Bell,
    gateway: GatewayId,
    key: SessionKey,
    never: Collection[NodeId] = (),
) -> Session:
    """A pooled lease on no node in `never`; raises what it was refused for, or Unavailable after SESSION_WAIT_S."""
    order_id = await threads.run(lambda: pools.open_pool(market.uow(), utc_now(), gateway, key.model, never=never))
    try:
        async with asyncio.timeout(SESSION_WAIT_S):
            return await _granted(market, threads, granted, key, order_id)
    except TimeoutError:
        with suppress(Exception):  # else the roll call ends it
            await threads.run(lambda: pools.end_pool(market.uow(), utc_now(), order_id, CloseReason.SESSION_IDLE))
        raise Unavailable("the market has not decided in time", code="no_lease_in_time") from None


async def _granted(market: Swarmex, threads: Threads, granted: Bell, key: SessionKey, order_id: OrderId) -> Session:
    def look() -> tuple[PooledLease | None, CloseReason | None]:
        stand = pools.pool_progress(market.uow(), utc_now(), order_id)
        return stand.lease, stand.refused

    return _session(key, *await until_granted(threads, granted, look, "these requests"))


def _session(key: SessionKey, lease: PooledLease, endpoint: str, token: str) -> Session:
    now = utc_now()
    return Session(
        key=key,
        lease_id=lease.lease_id,
        node_id=lease.node_id,
        node_name=lease.node_name,
        endpoint=endpoint,
        token=token,
        slots=lease.slots,
        price_nano_per_slot_s=lease.price_nano_per_slot_s,
        granted_at=now,
        window_ends_at=FOR_EVER,
        used_at=now,
        pool=lease,
    )
