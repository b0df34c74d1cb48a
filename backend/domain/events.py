"""Facts that agents are woken by. An event is a hint: whoever misses it finds the truth in the database."""

from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    """What an event is about."""

    ORDERS_PLACED = "orders.placed"
    ORDERS_CLEARED = "orders.cleared"
    ORDERS_CLOSED = "orders.closed"
    UNITS_READY = "units.ready"
    WORK_COMMITTED = "work.committed"
    LEASES_GRANTED = "leases.granted"
    LEASES_LEAVING = "leases.leaving"
    LEASES_ENDED = "leases.ended"
    OFFERS_CHANGED = "offers.changed"
    FLEET_CHANGED = "fleet.changed"
    KEYS_CHANGED = "keys.changed"
    FUNDS_ALERT = "funds.alert"


@dataclass(frozen=True, slots=True)
class Event:
    """One fact; `key` narrows it (a market, an id) and may be empty."""

    topic: Topic
    key: str = ""
