"""Facts that agents are woken by. An event is a hint: whoever misses it finds the truth in the database."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}", re.ASCII)
"""A kind, a node or an agent as an addressee."""
NAMES_MAX = 4096  # that are remembered to be good


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
    FACTS_CHANGED = "facts.changed"
    RESOURCES_FREED = "resources.freed"
    JOINT_CHANGED = "joint.changed"
    BATCHES_CHANGED = "batches.changed"
    TRAINING_CHANGED = "training.changed"
    CRASH_LOOP = "fleet.crash_loop"
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_RESOLVED = "incident.resolved"


@lru_cache(NAMES_MAX)  # the same few kinds and nodes, tens of thousands of times a second
def _check(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} cannot be addressed; a name matches {NAME.pattern}")


@dataclass(frozen=True, slots=True)
class Event:
    """One fact; `key` narrows it (a market, an id) and may be empty.

    It is for everybody, unless it names whom it is for: agents of a `kind`, those that serve a `node`, those that
    are and do both, or one `agent` by its id. Raises ValueError for an addressee that cannot be one.
    """

    topic: Topic
    key: str = ""
    kind: str = ""
    node: str = ""
    agent: str = ""

    def __post_init__(self) -> None:
        if self.kind:
            _check(self.kind)
        if self.node:
            _check(self.node)
        if self.agent:
            _check(self.agent)
            if self.kind or self.node:
                raise ValueError("an event for one agent is for that agent, whatever its kind and node")


@dataclass(frozen=True, slots=True)
class Audience:
    """Who listens: it hears what is for everybody, and what is for its kind, for one of its nodes, or for itself."""

    kind: str = ""
    nodes: frozenset[str] = frozenset()
    agent: str = ""

    def __post_init__(self) -> None:
        for name in filter(None, (self.kind, self.agent, *self.nodes)):
            _check(name)

    def hears(self, event: Event) -> bool:
        """Whether `event` is for this audience."""
        return (
            event.kind in ("", self.kind)
            and (not event.node or event.node in self.nodes)
            and event.agent in ("", self.agent)
        )


EVERYBODY = Audience()
"""Who hears only what is for all."""
