"""What waiting is worth: a slot to a tier, however small its share; to who wants a whole node, one that empties."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from backend.domain.auctions import Ask, Bid
from backend.domain.ids import NodeId, OrderId
from backend.domain.machines import Machine, Needs
from backend.domain.money import AMOUNT_NANO_MAX
from backend.domain.placement import Machines, feasible

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Queueing:
    """A tier where not everybody can be served: its share of all slots, what it holds, and what it could pay for now.

    `aged_since` is when the oldest of its orders came that have waited too long and could pay, None without one.
    """

    share: int
    held: int
    wanted: int
    aged_since: datetime | None = None

    @property
    def short(self) -> int:
        """How many slots it goes first for: what its share lacks, and with an aged order one slot at least in all."""
        due = max(self.share, 1) if self.aged_since else self.share
        return max(0, min(due - self.held, self.wanted))


def reserved_slots(tiers: Mapping[int, Queueing], free: int) -> dict[int, int]:
    """How many of the free slots each tier goes first for, by rank.

    Where they are too few for all that tiers are short of, those with an aged order get one each, the oldest first, and
    then all by rank.
    """
    short = {rank: tiers[rank].short for rank in sorted(tiers) if tiers[rank].short}
    aged = sorted((since, rank) for rank in short if (since := tiers[rank].aged_since))
    found = {rank: 1 for _, rank in aged[:free]}
    left = free - len(found)
    for rank, slots in short.items():
        more = min(slots - found.get(rank, 0), left)
        left -= more
        found[rank] = found.get(rank, 0) + more
    return {rank: slots for rank, slots in sorted(found.items()) if slots}


@dataclass(frozen=True, slots=True)
class Emptying:
    """A node whose free slots nobody else gets until all of them are free and this order takes them."""

    order_id: OrderId
    node_id: NodeId


def emptying(
    waiting: Sequence[Bid], asks: Sequence[Ask], spot_nano: int, before: Mapping[OrderId, NodeId]
) -> Emptying | None:
    """The node to keep for the first of these orders for whole nodes that one can be kept for.

    It suits, is no larger than the order, and the order can pay its ask and the spot price. One that is idle goes
    first, then the one that was kept `before` for the order, then the one nearest to idle.
    """
    if not waiting or not asks:
        return None
    machines = Machines.of([ask.machine or Machine(ask.node_id, ask.slots) for ask in asks])
    price = np.maximum(np.array([ask.ask_nano for ask in asks], np.int64), spot_nano)
    suiting: dict[Needs, Flags] = {}
    for bid in waiting:
        needs = replace(bid.needs, dedicated=False)  # idle or not
        if needs not in suiting:
            suiting[needs] = feasible(needs, machines)
        rows = (suiting[needs] & (machines.slots <= bid.slots) & (price <= bid.limit_nano)).nonzero()[0]
        if len(rows):
            kept = machines.having([before[bid.order_id]] if bid.order_id in before else [], machines.nodes)
            order = np.lexsort((price[rows], machines.busy_slots[rows], ~kept[rows], machines.busy_slots[rows] > 0))
            return Emptying(bid.order_id, asks[int(rows[order[0]])].node_id)
    return None


def payable(bids: Sequence[Bid], asks: Sequence[Ask], spot_nano: int) -> list[bool]:
    """Which of these orders could pay the spot price and the cheapest ask that suits them."""
    machines = Machines.of([ask.machine or Machine(ask.node_id, ask.slots) for ask in asks])
    prices = np.array([ask.ask_nano for ask in asks], np.int64)
    cheapest: dict[Needs, int] = {}
    for needs in {bid.needs for bid in bids}:
        suits = feasible(needs, machines) if needs.hard else np.ones(len(asks), np.bool_)
        cheapest[needs] = max(spot_nano, int(prices[suits].min(initial=AMOUNT_NANO_MAX + 1)))
    return [bid.limit_nano >= cheapest[bid.needs] for bid in bids]
