"""The assignment of books that are too large to solve whole: a core of their pairs, chosen anew by prices.

Column generation (Gilmore & Gomory 1961): solve a few pairs of each bid exactly; find the prices of asks that carry the
solution; add pairs that would gain more at those prices; again. Prices make bids look elsewhere than where all crowd,
and any prices bound the maximum from above (weak duality), which tells when to stop.
"""

import numpy as np
from numpy.typing import NDArray

from backend.domain.money import PPM
from backend.domain.placement.flow import Ints, Positions, exact_maximum

ROUNDS_MAX = 4  # solutions of a core
ENOUGH_PPM = 985_000  # of what the maximum can be at most: proven, no further round
PAIRS_EACH = 6  # of a bid that a round adds, beside twice the pairs that it needs for all its slots
CORE_PAIRS_MAX = 500_000  # that a round adds, unless bids are so many that PAIRS_EACH of each are more
KEPT_TENTHS = 1  # pairs of the last core stay if they gain as much as the bid's best but for a tenth
PRICE_STEPS_MAX = 30  # prices that are not quite final still bound the maximum, only less tightly
SUM_BITS = 62  # sums of gains × slots stay below
SCATTER = 2_654_435_761  # Knuth's multiplicative hash: bids with the same asks begin at different ones


def near_maximum(bid: Positions, ask: Positions, gain: Ints, slots: Ints, demand: Ints, supply: Ints) -> Ints:
    """Slots of each pair for nearly the largest Σ gain × slots; stops when 98.5% of the maximum is proven.

    It also stops after ROUNDS_MAX rounds. No capacity is ever exceeded, and the same pairs give the same slots.
    """
    found = np.zeros(len(bid), np.int64)
    if not len(bid):
        return found
    if np.any(bid[1:] < bid[:-1]):
        order = np.argsort(bid, kind="stable")
        found[order] = near_maximum(bid[order], ask[order], gain[order], slots[order], demand, supply)
        return found
    most = int(gain.max()) * int(demand.sum() + supply.sum())
    if most.bit_length() > SUM_BITS:
        gain = gain >> (most.bit_length() - SUM_BITS)
    starts = _starts(bid, len(demand))
    each = _pairs_each(starts, slots, demand)
    core = _scattered(starts, each)
    proven = most
    net = np.empty_like(gain)  # one for all rounds: filling new pages takes longer than the sums
    for number in range(ROUNDS_MAX):
        flow = exact_maximum(bid[core], ask[core], gain[core], slots[core], demand, supply)
        price = _prices(bid[core], ask[core], gain[core], flow, flow < slots[core], demand, supply)
        np.subtract(gain, np.take(price, ask, out=net, mode="clip"), out=net)
        best = _best(net, starts)
        proven = min(proven, int(best @ demand + price @ supply))
        surplus = int(flow @ gain[core])
        if surplus * PPM >= proven * ENOUGH_PPM or number == ROUNDS_MAX - 1:
            break
        core = _next_core(core, flow, bid, starts, net, best, each)
    found[core] = flow
    return found


def _next_core(core: Ints, flow: Ints, bid: Positions, starts: Ints, net: Ints, best: Ints, each: Ints) -> Ints:
    """Pairs in use or nearly worth it, and for each bid some that would gain more, with the best one among them."""
    reached = np.zeros(len(best), np.int64)
    np.maximum.at(reached, bid[core], net[core])
    better = np.flatnonzero(net > np.repeat(reached, np.diff(starts)))
    top = better[net[better] == best[bid[better]]]
    some = better[_scattered(_starts(bid[better], len(best)), each)]
    one = top[_scattered(_starts(bid[top], len(best)), np.ones_like(each))]
    nearly = net[core] >= reached[bid[core]] - best[bid[core]] * KEPT_TENTHS // 10
    return np.unique(np.concatenate([core[(flow > 0) | nearly], some, one]))


def _prices(
    bid: Positions, ask: Positions, gain: Ints, flow: Ints, room: NDArray[np.bool_], demand: Ints, supply: Ints
) -> Ints:
    """The least prices of asks at which, of these pairs, nobody wants more than the flow gives (or nearly so).

    An ask with slots left costs nothing; a sold-out one what the bid that misses it would give up for it.
    """
    served = np.bincount(bid, flow, len(demand)) >= demand
    sold_out = np.bincount(ask, flow, len(supply)) >= supply
    used = np.flatnonzero(flow)
    missed = np.flatnonzero(room & sold_out[ask])
    missed = missed[np.argsort(ask[missed], kind="stable")]
    asks, firsts = np.unique(ask[missed], return_index=True)
    price = np.zeros(len(supply), np.int64)
    if not len(asks):
        return price
    for _ in range(PRICE_STEPS_MAX):
        profit = np.full(len(demand), np.iinfo(np.int64).max)
        np.minimum.at(profit, bid[used], gain[used] - price[ask[used]])
        profit[~served] = 0
        raised = np.maximum(price[asks], np.maximum.reduceat(gain[missed] - profit[bid[missed]], firsts))
        if np.array_equal(raised, price[asks]):
            break
        price[asks] = raised
    return price


def _pairs_each(starts: Ints, slots: Ints, demand: Ints) -> Ints:
    """How many pairs of each bid a round takes: more of those that want more slots than a few pairs have."""
    count = np.diff(starts)
    offered = np.ones(len(demand), np.int64)
    offered[count > 0] = np.maximum(1, np.add.reduceat(slots, starts[:-1][count > 0]))
    needed = -(-demand * count // offered)
    each: Ints = np.minimum(PAIRS_EACH + 2 * needed, max(PAIRS_EACH, CORE_PAIRS_MAX // len(demand)))
    return each


def _best(net: Ints, starts: Ints) -> Ints:
    """The largest of each bid's pairs, at least 0."""
    best = np.zeros(len(starts) - 1, np.int64)
    has = np.diff(starts) > 0
    best[has] = np.maximum(0, np.maximum.reduceat(net, starts[:-1][has]))
    return best


def _starts(bid: Positions, bids: int) -> Ints:
    """Where each bid's pairs begin among pairs in order of bids, and where the last one's end."""
    starts: Ints = np.searchsorted(bid, np.arange(bids + 1, dtype=bid.dtype))
    return starts


def _scattered(starts: Ints, each: Ints) -> Ints:
    """At most `each` positions of each bid's pairs, evenly spaced, each bid's beginning elsewhere; ascending."""
    count = np.diff(starts)
    taken = np.minimum(count, each)
    firsts = np.cumsum(taken) - taken
    number = np.arange(taken.sum()) - np.repeat(firsts, taken)
    phase = np.arange(len(count)) * SCATTER % np.maximum(count, 1)
    spaced = (number * np.repeat(count, taken) + np.repeat(phase, taken)) // np.repeat(np.maximum(taken, 1), taken)
    positions: Ints = np.repeat(starts[:-1], taken) + spaced
    return positions
