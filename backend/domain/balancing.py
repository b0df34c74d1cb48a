"""Work that has not begun moves from executors with too much of it to idle ones that may run it.

An executor is a queue with the nodes and agents that serve it. Its pace is what it does in a second, in seconds of
profiled work: as many at once as it has agents and slots, each as quick as it was measured to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.domain.ids import ItemId, LeaseId, OrderId
from backend.domain.machines import Machine, Needs
from backend.domain.placement import suits

OVER_S = 3.0  # of work queued: below, moving is not worth it
OVER_MEAN = 1.5  # times the mean of all
IDLE_S = 1.0  # who has less to do can take more
GAIN_S = 1.0  # that a move brings its item forward by, at least
SLOWNESS_MIN, SLOWNESS_MAX = 0.1, 100.0  # a measurement is believed within these
MOVES_MAX = 500  # at once


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
    """A lease in a crowded queue on which nothing has begun; the ask is its node's, None if that is not on sale."""

    lease_id: LeaseId
    order_id: OrderId
    market: str
    slots: int
    limit_nano: int
    ask_nano: int | None
    needs: Needs


@dataclass(frozen=True, slots=True)
class Unused:
    """An idle machine on sale, with free slots."""

    market: str
    ask_nano: int
    machine: Machine


def crowded(executors: Sequence[Executor]) -> tuple[frozenset[str], frozenset[str]]:
    """The queues with too much to do and those that are idle; nobody is idle unless somebody has too much."""
    alive = [one for one in executors if one.pace]
    if not alive:
        return frozenset(), frozenset()
    mean_s = sum(one.drain_s for one in alive) / len(alive)
    over = frozenset(one.queue for one in alive if one.drain_s >= max(OVER_S, OVER_MEAN * mean_s))
    idle = frozenset(one.queue for one in alive if one.drain_s < IDLE_S)
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


def released(stuck: Sequence[Stuck], unused: Sequence[Unused]) -> list[Stuck]:
    """Leases to give up, the last first, so that the auction gives their orders an idle machine instead.

    Only where it will: such a machine is of the same market, asks for less than the crowded one does and no more than
    the order bids, and has all that it needs. So no order goes in circles, and each free slot is counted once.
    """
    free = {one.machine.node_id: one.machine.slots - one.machine.busy_slots for one in unused}
    cheapest = sorted(unused, key=lambda one: (one.ask_nano, one.machine.node_id))
    given_up: list[Stuck] = []
    for lease in sorted(stuck, key=lambda lease: lease.lease_id, reverse=True):
        for one in cheapest:
            dearer = lease.ask_nano is None or one.ask_nano < lease.ask_nano
            fits = one.market == lease.market and free[one.machine.node_id] >= lease.slots
            if dearer and fits and one.ask_nano <= lease.limit_nano and suits(lease.needs, one.machine):
                free[one.machine.node_id] -= lease.slots
                given_up.append(lease)
                break
    return given_up
