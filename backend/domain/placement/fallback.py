"""The assignment of books that are too large to solve whole: a core of their pairs, chosen anew by prices.

Column generation (Gilmore & Gomory 1961): solve a few pairs of each bid exactly; find the prices of asks that carry the
solution; add pairs that would gain more at those prices; again. Prices make bids look elsewhere than where all crowd,
and any prices bound the maximum from above (weak duality), which tells when to stop.
"""

from collections.abc import Iterable, Iterator, Sequence

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
BLOCK_PAIRS = 1 << 17  # that are looked through at a time: a megabyte of gains
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
    for number in range(ROUNDS_MAX):
        flow = exact_maximum(bid[core], ask[core], gain[core], slots[core], demand, supply)
        price = _prices(bid[core], ask[core], gain[core], flow, flow < slots[core], demand, supply)
        best = np.concatenate([_best(net, of) for _, of, net in _nets(starts, ask, gain, price)])
        proven = min(proven, int(best @ demand + price @ supply))
        surplus = int(flow @ gain[core])
        if surplus * PPM >= proven * ENOUGH_PPM or number == ROUNDS_MAX - 1:
            break
        net = gain[core] - price[ask[core]]
        reached = _best(net, _starts(bid[core], len(demand)))
        nearly = net >= (reached - best * KEPT_TENTHS // 10)[bid[core]]
        kept = core[(flow > 0) | nearly]
        core = _once([kept, *_better(starts, _nets(starts, ask, gain, price), reached, best, each)])
    found[core] = flow
    return found


def _better(
    starts: Ints, nets: Iterable[tuple[int, Ints, Ints]], reached: Ints, best: Ints, each: Ints
) -> Iterator[Ints]:
    """Positions of pairs that gain their bids more than `reached`: some of each bid, and the best one with them."""
    for first, of, net in nets:
        bids = slice(first, first + len(of) - 1)
        better = np.flatnonzero(net > np.repeat(reached[bids], np.diff(of)))
        among = np.searchsorted(better, of)
        top = np.flatnonzero(net[better] == np.repeat(best[bids], np.diff(among)))
        some = _scattered(among, each[bids], first)
        one = _scattered(np.searchsorted(top, among), np.ones_like(each[bids]), first)
        yield starts[first] + better[np.concatenate([some, top[one]])]


def _once(positions: Sequence[Ints]) -> Ints:
    """All of them in order, each once; `np.unique` would hash them, which takes ten times as long (NumPy 2.4)."""
    every = np.sort(np.concatenate(positions))
    once: Ints = every[np.flatnonzero(np.diff(every, prepend=-1))]
    return once


def _nets(starts: Ints, ask: Positions, gain: Ints, price: Ints) -> Iterator[tuple[int, Ints, Ints]]:
    """Blocks of whole bids: the first bid, where each bid's pairs begin, what each gains at these prices.

    They hold until the next block is asked for. A block fits the processor's cache; all pairs at once would fill new
    pages, which takes longer than the sums.
    """
    first = 0
    room = np.empty(max(BLOCK_PAIRS, int(np.diff(starts).max())), np.int64)
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + BLOCK_PAIRS, "right")) - 1)
        pairs = slice(starts[first], starts[last])
        net = np.take(price, ask[pairs], out=room[: starts[last] - starts[first]], mode="clip")
        yield first, starts[first : last + 1] - starts[first], np.subtract(gain[pairs], net, out=net)
        first = last


def _prices(
    bid: Positions, ask: Positions, gain: Ints, flow: Ints, room: NDArray[np.bool_], demand: Ints, supply: Ints
) -> Ints:
    """The least prices of asks at which, of these pairs, nobody wants more than the flow gives (or nearly so).

    An ask with slots left costs nothing; a sold-out one what the bid that misses it would give up for it.
    """
    served = np.bincount(bid, flow, len(demand)) >= demand
    sold_out = np.bincount(ask, flow, len(supply)) >= supply
    used = np.flatnonzero((flow > 0) & served[bid])  # in order of bids, as all pairs are
    users, begin = np.unique(bid[used], return_index=True)
    used_gain, used_ask = gain[used], ask[used]
    profit = np.where(served, np.iinfo(np.int64).max, 0)
    missed = np.flatnonzero(room & sold_out[ask])
    missed = missed[np.argsort(ask[missed], kind="stable")]
    missed_gain, missed_bid = gain[missed], bid[missed]
    asks, firsts = np.unique(ask[missed], return_index=True)
    price = np.zeros(len(supply), np.int64)
    if not len(asks):
        return price
    for _ in range(PRICE_STEPS_MAX):
        profit[users] = np.minimum.reduceat(used_gain - price[used_ask], begin)
        raised = np.maximum(price[asks], np.maximum.reduceat(missed_gain - profit[missed_bid], firsts))
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


def _scattered(starts: Ints, each: Ints, first: int = 0) -> Ints:
    """At most `each` positions of each bid's pairs, evenly spaced, each bid's beginning elsewhere; ascending.

    `first` is the number of the first of these bids.
    """
    count = np.diff(starts)
    taken = np.minimum(count, each)
    firsts = np.cumsum(taken) - taken
    number = np.arange(taken.sum()) - np.repeat(firsts, taken)
    phase = np.arange(first, first + len(count)) * SCATTER % np.maximum(count, 1)
    spaced = (number * np.repeat(count, taken) + np.repeat(phase, taken)) // np.repeat(np.maximum(taken, 1), taken)
    positions: Ints = np.repeat(starts[:-1], taken) + spaced
    return positions
