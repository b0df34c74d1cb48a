"""One session: a node leased by an account for a model, paid for window by window."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backend.domain.access import Spender
from backend.domain.errors import Conflict, SwarmexError
from backend.domain.ids import LeaseId, NodeId
from backend.domain.leases import IDLE_S, RENEW_AT, WINDOW_S
from backend.domain.money import charge_nano, format_credits
from backend.domain.sla import Measured
from backend.gateway.admission import Admission, Held
from backend.gateway.errors import Busy
from backend.gateway.leases.tally import Tally
from backend.gateway.limits import SESSION_IN_FLIGHT_MAX
from backend.gateway.routing.target import Target
from backend.storage.allowances import PooledLease

_US = timedelta(microseconds=1)


def _busy() -> Busy:
    return Busy("too many requests of this session are under way")


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What sessions are opened for; requests that share it share the leases."""

    spender: Spender
    model: str
    tier: str
    sla: bool = False


@dataclass(slots=True)
class Session:
    """A granted lease and this process's use of it."""

    key: SessionKey
    lease_id: LeaseId
    node_id: NodeId
    node_name: str
    endpoint: str
    token: str
    slots: int
    price_nano_per_slot_s: int
    granted_at: datetime
    window_ends_at: datetime
    used_at: datetime
    refused: SwarmexError | None = None  # why the next window could not be bought, when last tried
    requests: Admission = field(default_factory=lambda: Admission(SESSION_IN_FLIGHT_MAX))
    tally: Tally = field(default_factory=Tally)
    target: Target = field(default_factory=Target)
    told: int = 0  # how many of its requests the coordinator has heard of
    pool: PooledLease | None = None  # if all users share it, and pay by the request
    lease: str = field(init=False)  # its id and its price in credits, as every answer tells them
    price: str = field(init=False)

    def __post_init__(self) -> None:
        self.lease = str(self.lease_id)
        self.price = format_credits(self.price_nano_per_slot_s)

    def place(self) -> Held:
        """Take one of its places for the length of a block; raises Busy when there is none."""
        return self.requests.place(_busy)

    def untold(self) -> Measured | None:
        """What its node has served until now; None if nobody promised anything, or the coordinator knows it already."""
        if not self.key.sla:
            return None
        total = self.tally.total()
        return total if total.requests > self.told else None

    def heard(self, measured: Measured | None) -> None:
        """The coordinator knows of so much."""
        if measured:
            self.told = max(self.told, measured.requests)

    def paid(self, now: datetime) -> bool:
        """Whether the current window is prepaid: only then may a request be sent."""
        return now < self.window_ends_at

    def idle(self, now: datetime) -> bool:
        """Whether nobody has used it for IDLE_S."""
        return self.requests.taken == 0 and now - self.used_at >= timedelta(seconds=IDLE_S)

    @property
    def unused(self) -> bool:
        """Whether no request was ever sent on it."""
        return self.requests.taken == 0 and self.tally.total().requests == 0

    def due(self, now: datetime) -> bool:
        """Whether half of the window is gone, so that the next one is bought."""
        return self.window_ends_at - now <= timedelta(seconds=WINDOW_S * (1 - RENEW_AT))

    def charge_nano(self, now: datetime) -> int:
        """What the lease has cost so far: the time since it was granted; settled figures are on the receipt."""
        elapsed_us = max(0, (min(now, self.window_ends_at) - self.granted_at) // _US)
        return charge_nano(self.price_nano_per_slot_s * self.slots, elapsed_us)

    def within(self, limit_nano_per_slot_s: int | None) -> bool:
        """Whether its price is what a request is willing to pay."""
        return limit_nano_per_slot_s is None or limit_nano_per_slot_s >= self.price_nano_per_slot_s

    def require_within(self, limit_nano_per_slot_s: int | None) -> None:
        """Raise Conflict when the session's price is above what a request is willing to pay."""
        if not self.within(limit_nano_per_slot_s):
            raise Conflict(
                "the open session costs more than this limit",
                code="limit_below_session_price",
                field="Swarmex-Limit",
                accepted=f"at least {self.price} credits per slot-second",
            )
