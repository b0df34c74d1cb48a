"""How a pooled lease comes to be: ordered for all users of this process, granted by the market or refused."""

from collections.abc import Collection
from datetime import UTC, datetime

from backend.bootstrap import utc_now
from backend.domain.access import Spender
from backend.domain.allowances import POOL_ID
from backend.domain.ids import GatewayId, NodeId
from backend.domain.orders import CloseReason
from backend.domain.tiers import TierName
from backend.gateway.leases.opening import Opener, Ordering, session_on
from backend.gateway.leases.session import Session, SessionKey
from backend.services import pools
from backend.services.pools import POOL_TIER

FOR_EVER = datetime.max.replace(tzinfo=UTC)  # nothing is prepaid, so no window ends


def line_spender(spender: Spender, tier: TierName) -> Spender:
    """Whose leases a request is served on: the user's own, or those that all users of tier small share."""
    return Spender(POOL_ID) if tier is POOL_TIER else spender


async def open_pooled(opener: Opener, gateway: GatewayId, key: SessionKey, never: Collection[NodeId] = ()) -> Session:
    """A pooled lease on no node in `never`; raises as `Opener.lease`."""
    uow = opener.market.uow
    ordering = Ordering(
        lambda order_id: pools.open_pool(uow(), utc_now(), gateway, key.model, never=never, order_id=order_id),
        lambda order_id: pools.pool_progress(uow(), utc_now(), order_id),
        lambda order_id: pools.end_pool(uow(), utc_now(), order_id, CloseReason.SESSION_IDLE),
        "these requests",
    )
    lease, endpoint, token = await opener.lease(ordering)
    return session_on(key, lease, endpoint, token, utc_now(), FOR_EVER)
