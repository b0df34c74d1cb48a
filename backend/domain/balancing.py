"""Work that has not begun moves from executors with too much of it to idle ones that may run it.

An executor is a queue with the nodes and agents that serve it. Its pace is what it does in a second, in seconds of
profiled work: as many at once as it has agents and slots, each as quick as it was measured to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from backend.domain.ids import ItemId, LeaseId, NodeId, OrderId
from backend.domain.machines import Machine, Needs
from backend.domain.placement import suits

OVER_S = 3.0  # of work queued: below, moving is not worth it
OVER_MEAN = 1.5  # times the mean of all
IDLE_S = 1.0  # who has less to do can take more
GAIN_S = 1.0  # that a move brings its item forward by, at least
SLOWNESS_MIN, SLOWNESS_MAX = 0.1, 100.0  # a measurement is believed within these
MOVES_MAX = 500  # at once


class Burden(StrEnum):
    """How much an executor has to do: one that is crowded gives work away, if another is idle."""

    CROWDED = "crowded"
    BUSY = "busy"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Executor:
    """A queue as it is: slots of its nodes, agents that live, profiled work not done, measured over profiled time."""

    queue: str
    slots: int
    living: int
    pending_us: int
    slowness: float = 1.0

    @property
    def pace(self) -> float:
        """Seconds of profiled work that it does in a second: its score."""
        return min(self.slots, self.living) / min(max(self.slowness, SLOWNESS_MIN), SLOWNESS_MAX)

    @property
    def drain_s(self) -> float:
        """Seconds until it has done what it has."""
        return self.pending_us / 1e6 / self.pace if self.pace else float("inf")


@dataclass(frozen=True, slots=True)
class Movable:
    """An item that nobody has claimed, where it waits, and the price there."""

    item_id: ItemId
    order_id: OrderId
    queue: str
    price_nano: int
    us_max: int
    profiled_us: int


@dataclass(frozen=True, slots=True)
class Berth:
    """A lease that an order has, and what it can take; only nodes that have all that the order needs are offered."""

    lease_id: LeaseId
    order_id: OrderId
    queue: str
    price_nano: int
    items: int
    us_max: int


@dataclass(frozen=True, slots=True)
class Move:
    """An item, and the lease of its order that it is to run on."""

    item_id: ItemId
    lease_id: LeaseId


@dataclass(frozen=True, slots=True)
class Stuck:
    """An order's only lease, in a crowded queue, on which nothing has begun.

    `ask_nano` is what its node asks now, None if that is not on sale, and `earns_nano` what its provider gets;
    `profiled_us` is the work that waits on it, `left` the nodes that the order had leases on before.
    """

    lease_id: LeaseId
    order_id: OrderId
    market: str
    slots: int
    limit_nano: int
    ask_nano: int | None
    needs: Needs
    node_id: NodeId
    queue: str
    earns_nano: int
    profiled_us: int
    left: frozenset[NodeId] = frozenset()


@dataclass(frozen=True, slots=True)
class Unused:
    """An idle machine on sale, with free slots."""

    market: str
    ask_nano: int
    machine: Machine
    queue: str


@dataclass(frozen=True, slots=True)
class Departure:
    """A lease that ends: its order gets one on `node_id` at the same price, or goes to the auction if that is None."""

    lease: Stuck
    node_id: NodeId | None


def burdens(executors: Sequence[Executor]) -> dict[str, Burden]:
    """What each queue with living agents has to do, by its name."""
    alive = [one for one in executors if one.pace]
    mean_s = sum(one.drain_s for one in alive) / len(alive) if alive else 0.0
    too_much_s = max(OVER_S, OVER_MEAN * mean_s)
    return {
        one.queue: Burden.CROWDED if one.drain_s >= too_much_s else Burden.IDLE if one.drain_s < IDLE_S else Burden.BUSY
        for one in alive
    }


def crowded(executors: Sequence[Executor]) -> tuple[frozenset[str], frozenset[str]]:
    """The queues with too much to do and those that are idle; both empty unless there are some of each."""
    found = burdens(executors)
    over, idle = (
        frozenset(queue for queue, burden in found.items() if burden is wanted)
        for wanted in (Burden.CROWDED, Burden.IDLE)
    )
    return (over, idle) if over and idle else (frozenset(), frozenset())


def rebalance(executors: Sequence[Executor], items: Sequence[Movable], berths: Sequence[Berth]) -> list[Move]:
    """Moves that bring items forward by GAIN_S or more, those that would begin last first; at most MOVES_MAX.

    An item moves to a lease of its own order that costs no more, and never to its own queue; no lease gets more than
    it can take.
    """
    pace = {one.queue: one.pace for one in executors}
    end_s = {one.queue: one.drain_s for one in executors}
    room = {berth.lease_id: [berth.items, berth.us_max] for berth in berths}
    by_order: dict[OrderId, list[Berth]] = {}
    for berth in sorted(berths, key=lambda berth: berth.lease_id):
        by_order.setdefault(berth.order_id, []).append(berth)
    moves: list[Move] = []
    for item in sorted(items, key=lambda item: item.item_id, reverse=True):
        if len(moves) == MOVES_MAX:
            break
        best = _best(item, by_order.get(item.order_id, ()), room, pace, end_s)
        if best is None:
            continue
        seconds = item.profiled_us / 1e6
        end_s[best.queue] += seconds / pace[best.queue]
        end_s[item.queue] -= seconds / pace[item.queue]
        room[best.lease_id][0] -= 1
        room[best.lease_id][1] -= item.us_max
        moves.append(Move(item.item_id, best.lease_id))
    return moves


def _best(
    item: Movable,
    berths: Sequence[Berth],
    room: Mapping[LeaseId, Sequence[int]],
    pace: Mapping[str, float],
    end_s: Mapping[str, float],
) -> Berth | None:
    """Where the item would be done soonest, if that is GAIN_S sooner than where it is."""
    best, best_s = None, end_s[item.queue] - GAIN_S
    for berth in berths:
        left_items, left_us = room[berth.lease_id]
        if berth.queue == item.queue or berth.price_nano > item.price_nano or not pace.get(berth.queue):
            continue
        if left_items < 1 or left_us < item.us_max:
            continue
        done_s = end_s[berth.queue] + item.profiled_us / 1e6 / pace[berth.queue]
        if done_s < best_s:
            best, best_s = berth, done_s
    return best


def released(stuck: Sequence[Stuck], unused: Sequence[Unused], executors: Sequence[Executor]) -> list[Departure]:
    """Leases to give up for an idle machine of the same market that has all that the order needs, the last first.

    If it asks less than the crowded one does, and no more than the order bids, the auction will choose it. If it asks
    as much, the auction could as well choose the crowded one again: the lease is moved there itself, where that ends
    its work more than GAIN_S sooner. Cheaper machines go before sooner ones. Nothing goes in circles: asks fall with
    each auction, and no order moves to a node that it had a lease on before. Each free slot is counted once.
    """
    pace = {one.queue: one.pace for one in executors}
    end_s = {one.queue: one.drain_s for one in executors}
    free = {one.machine.node_id: one.machine.slots - one.machine.busy_slots for one in unused}
    cheapest = sorted(unused, key=lambda one: (one.ask_nano, one.machine.node_id))
    departures: list[Departure] = []
    for lease in sorted(stuck, key=lambda lease: lease.lease_id, reverse=True):
        fitting = [
            one
            for one in cheapest
            if one.market == lease.market
            and free[one.machine.node_id] >= lease.slots
            and one.ask_nano <= lease.limit_nano
            and suits(lease.needs, one.machine)
        ]
        seconds = lease.profiled_us / 1e6
        chosen = next((one for one in fitting if lease.ask_nano is None or one.ask_nano < lease.ask_nano), None)
        node_id = None
        if chosen is None:
            chosen = _sooner(lease, fitting, pace, end_s)
            if chosen is None:
                continue
            node_id = chosen.machine.node_id
        free[chosen.machine.node_id] -= lease.slots
        end_s[lease.queue] -= seconds / pace[lease.queue]
        end_s[chosen.queue] += seconds / pace[chosen.queue]
        departures.append(Departure(lease, node_id))
    return departures


def _sooner(
    lease: Stuck, fitting: Sequence[Unused], pace: Mapping[str, float], end_s: Mapping[str, float]
) -> Unused | None:
    """Of machines that ask as much and earn enough by the lease's price the one that ends first, if GAIN_S sooner.

    An order that wants a node for itself stays: only the auction gives whole nodes.
    """
    best, best_s = None, end_s[lease.queue] - GAIN_S
    for one in fitting:
        if one.ask_nano != lease.ask_nano or one.ask_nano > lease.earns_nano or lease.needs.dedicated:
            continue
        done_s = end_s[one.queue] + lease.profiled_us / 1e6 / pace[one.queue]
        if one.machine.node_id not in lease.left and done_s < best_s:
            best, best_s = one, done_s
    return best
