"""Leases and what runs under them: states, and the arithmetic of prepaid session windows."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from backend.domain.money import US_PER_S, charge_nano
from backend.domain.orders import CloseReason

Lease = TypeVar("Lease")

WINDOW_S = 30
RENEW_AT = 0.5  # of a window
IDLE_S = 15
PAUSE_GRACE_S = 15  # a lease that nobody pays on keeps its slot for so long, in case money comes


class LeaseState(StrEnum):
    """A lease ends once."""

    ACTIVE = "active"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Progress(Generic[Lease]):
    """Where an order for a lease stands: its lease once granted, or the reason why it will never be."""

    lease: Lease | None
    refused: CloseReason | None


class WindowState(StrEnum):
    """A window is settled when it is over."""

    OPEN = "open"
    SETTLED = "settled"


class ItemState(StrEnum):
    """waiting → queued → running → committed → settled; or cancelled, or dead after too many attempts.

    What is judged before it is paid for is reported when it ran, then committed or rejected.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    REPORTED = "reported"
    COMMITTED = "committed"
    SETTLED = "settled"
    CANCELLED = "cancelled"
    DEAD = "dead"
    REJECTED = "rejected"


def window_nano(price_nano_per_slot_s: int, slots: int) -> int:
    """What one whole window costs: the amount of its hold."""
    return charge_nano(price_nano_per_slot_s * slots, WINDOW_S * US_PER_S)


def used_nano(
    price_nano_per_slot_s: int,
    slots: int,
    starts_at: datetime,
    ends_at: datetime,
    lease_ended_at: datetime | None,
) -> int:
    """What a window is charged: the time until it or its lease ended, whichever came first."""
    until = min(ends_at, lease_ended_at) if lease_ended_at else ends_at
    used_us = max(0, (until - starts_at) // timedelta(microseconds=1))
    return charge_nano(price_nano_per_slot_s * slots, used_us)
