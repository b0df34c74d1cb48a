"""Which running work makes room for orders that go before it: interruptible work of lower tiers, the cheapest first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from backend.domain.auctions import Ask, Fill
from backend.domain.ids import LeaseId, OfferId, OrderId
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
    order_id: OrderId
    offer_id: OfferId


@dataclass(frozen=True, slots=True)
class Room:
    """The leases to tell, all that are counted on (told before, too), and the orders that wait here for them."""

    told: tuple[LeaseId, ...] = ()
    freed: tuple[LeaseId, ...] = ()
    awaited_by: frozenset[OrderId] = frozenset()


def make_room(wanting: Sequence[Wanting], running: Sequence[Interruptible]) -> Room:
    """Choose leases to end, so that what they free serves the wanting orders.

    Only for an order of a higher tier that bids at least as much: it would lose the freed slots to the interrupted one
    otherwise. Whole idle nodes are not made this way.
    """
    told: list[LeaseId] = []
    freed: list[LeaseId] = []
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
            freed.append(lease.lease_id)
            if not lease.leaving:
                told.append(lease.lease_id)
    return Room(tuple(told), tuple(freed), frozenset(awaited_by))


def unsold(asks: Sequence[Ask], fills: Iterable[Fill]) -> list[Ask]:
    """What is left of asks after these trades."""
    sold: dict[OfferId, int] = {}
    for fill in fills:
        sold[fill.offer_id] = sold.get(fill.offer_id, 0) + fill.slots
    return [_with(ask, -sold.get(ask.offer_id, 0)) for ask in asks if ask.slots > sold.get(ask.offer_id, 0)]


def asks_after(left: Sequence[Ask], leases: Iterable[Interruptible]) -> list[Ask]:
    """What will be offered when these leases are over, beside what is left: one ask a node."""
    asks = {ask.node_id: ask for ask in left}
    for lease in leases:
        node = lease.machine.node_id
        ask = asks.get(node) or Ask(lease.offer_id, node, 0, 0, lease.ask_nano, lease.machine)
        asks[node] = _with(ask, lease.slots)
    return list(asks.values())


def _with(ask: Ask, more: int) -> Ask:
    """An ask with so many more free slots."""
    machine = ask.machine and replace(ask.machine, busy_slots=ask.machine.busy_slots - more)
    return replace(ask, slots=ask.slots + more, machine=machine)


def _gives_way(lease: Interruptible, order: Wanting) -> bool:
    return (
        lease.tier > order.tier
        and lease.limit_nano <= order.limit_nano
        and lease.ask_nano <= order.limit_nano
        and not order.needs.dedicated
        and suits(order.needs, lease.machine)
    )
