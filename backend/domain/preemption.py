"""Which running work makes room for orders that go before it: interruptible work of lower tiers, the cheapest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from backend.domain.ids import LeaseId, OrderId
from backend.domain.machines import Machine, Needs
from backend.domain.placement import suits

NOTICE = timedelta(seconds=2)  # time for what is running to end; no new work begins on a lease that has been told


@dataclass(frozen=True, slots=True)
class Wanting:
    """An order that got nothing and may not be interrupted itself; `tier` is its tier's rank, 0 first."""

    order_id: OrderId
    tier: int
    limit_nano: int
    slots: int
    needs: Needs


@dataclass(frozen=True, slots=True)
class Interruptible:
    """A lease of an order that agreed to be interrupted; `leaving` if it has been told already."""

    lease_id: LeaseId
    tier: int
    limit_nano: int
    slots: int
    ask_nano: int
    machine: Machine
    leaving: bool


@dataclass(frozen=True, slots=True)
class Room:
    """The leases to tell, and the orders that wait here for what they or those told before will free."""

    told: tuple[LeaseId, ...] = ()
    awaited_by: frozenset[OrderId] = frozenset()


def make_room(wanting: Sequence[Wanting], running: Sequence[Interruptible]) -> Room:
    """Choose leases to end, so that what they free serves the wanting orders.

    Only for an order of a higher tier that bids at least as much: it would lose the freed slots to the interrupted one
    otherwise. Whole idle nodes are not made this way.
    """
    told: list[LeaseId] = []
    awaited_by: set[OrderId] = set()
    left = sorted(running, key=lambda r: (not r.leaving, -r.tier, r.limit_nano, r.lease_id))
    for order in sorted(wanting, key=lambda w: (w.tier, -w.limit_nano)):
        missing = order.slots
        for lease in [r for r in left if _gives_way(r, order)]:
            if missing <= 0:
                break
            missing -= lease.slots
            awaited_by.add(order.order_id)
            left.remove(lease)
            if not lease.leaving:
                told.append(lease.lease_id)
    return Room(tuple(told), frozenset(awaited_by))


def _gives_way(lease: Interruptible, order: Wanting) -> bool:
    return (
        lease.tier > order.tier
        and lease.limit_nano <= order.limit_nano
        and lease.ask_nano <= order.limit_nano
        and not order.needs.dedicated
        and suits(order.needs, lease.machine)
    )
