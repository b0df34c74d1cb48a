"""How one attempt of a request is paid on a pooled lease: set aside before it is sent, settled when it ran."""

from backend.domain.access import Spender
from backend.domain.allowances import Draw, used_of
from backend.domain.money import US_PER_S, charge_nano
from backend.gateway.leases.allowances import Allowances
from backend.gateway.leases.session import Session
from backend.gateway.models import ServedModel
from backend.storage.allowances import PooledLease


class Paying:
    """What is set aside for an attempt; without a settlement it is given back, and the attempt costs nothing."""

    __slots__ = ("_draw", "_lease", "_most_us")

    def __init__(self, draw: Draw, lease: PooledLease, most_us: int) -> None:
        self._draw = draw
        self._lease = lease
        self._most_us = most_us

    def settle(self, took_s: float, reported_us: int | None) -> int:
        """It ran, and took so long as we saw and as its node says; returns what it costs, in nano-credits."""
        lease = self._lease
        used = used_of(
            lease.lease_id,
            lease.price_nano_per_slot_s,
            lease.earns_nano_per_slot_s,
            self._most_us,
            round(took_s * US_PER_S),
            reported_us,
        )
        self._draw.settle(used)
        return used.paid_nano

    def cancel(self) -> None:
        """It did not run, or nobody knows."""
        self._draw.cancel()


async def set_aside(
    allowances: Allowances, spender: Spender, session: Session, model: ServedModel, rows: int
) -> Paying | None:
    """What an attempt on a session may cost; None if the session is paid for by time. Raises as `Allowances.draw`."""
    if session.pool is None:
        return None
    most_us = model.profile.worst_case_us(rows)
    price_nano = session.pool.price_nano_per_slot_s
    draw = await allowances.draw(spender, model.name, model.version, charge_nano(price_nano, most_us), price_nano)
    return Paying(draw, session.pool, most_us)
