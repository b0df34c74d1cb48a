"""Matching orders that need more of a node than a slot: whole idle nodes one by one, the rest for maximum surplus."""

import numpy as np

from backend.domain.auctions.book import Book, Flags, Ints
from backend.domain.auctions.clearing import Trades
from backend.domain.money import PPM
from backend.domain.placement import Machines, Pairs, feasible, maximum_surplus, preference_nano

EXACT_BELOW_NANO = 10**12  # times a million parts still fits 64 bits


def serve_dedicated(book: Book, waiting: Ints, wanted: Ints, left: Ints) -> Trades:
    """Give idle nodes whole to the orders that want them so, in line, the cheapest first; takes from both arrays.

    Orders that want whole nodes leave the auction with that, whatever they got.
    """
    bids, asks = book.bids, book.asks
    kinds = [number for number, kind in enumerate(bids.kinds) if kind.needs.dedicated]
    rows = waiting[np.isin(bids.kind[waiting], kinds)]
    if not len(rows):
        return Trades()
    machines, entire = Machines.of(asks.machines), whole(book, left)
    suits = {kind: feasible(bids.kinds[kind].needs, machines) & entire for kind in kinds}
    cheapest = np.argsort(asks.ask_nano, kind="stable")
    pairs = []
    for row in rows:
        for ask in cheapest[suits[int(bids.kind[row])][cheapest]]:
            if asks.ask_nano[ask] > bids.limit_nano[row]:
                break
            if 0 < left[ask] <= wanted[row]:
                pairs.append((row, ask, left[ask]))
                wanted[row] -= left[ask]
                left[ask] = 0
        wanted[row] = 0
    bid, ask, slots = np.array(pairs, np.int64).reshape(-1, 3).T
    return Trades(bid, ask, slots, slots, slots)


def whole(book: Book, left: Ints) -> Flags:
    """Which of the asks are of idle nodes, all of whose slots are offered and left."""
    machines = book.asks.machines
    idle = np.array([m.busy_slots == 0 and m.slots == n for m, n in zip(machines, left, strict=True)], bool)
    entire: Flags = idle & (left == book.asks.slots)
    return entire


def suiting(book: Book, offered: Flags) -> list[Flags]:
    """For each kind of bid which of the offered asks have what it needs."""
    if not any(kind.needs.hard for kind in book.bids.kinds):
        return [offered] * len(book.bids.kinds)
    machines = Machines.of(book.asks.machines)
    return [offered & feasible(k.needs, machines) if k.needs.hard else offered for k in book.bids.kinds]


def assign(book: Book, rows: Ints, wanted: Ints, left: Ints, before: Trades) -> Trades:
    """Match these bids with what is left of the asks so that limits less asks, and preferences, sum to the most.

    Orders that spread get no second slot of a node of which they have one from `before`.
    """
    bids, asks = book.bids, book.asks
    machines = Machines.of(asks.machines)
    pairs_bid, pairs_ask, gains, capacities = [], [], [], []
    for number in np.unique(bids.kind[rows]):
        kind = bids.kinds[number]
        sellers = (feasible(kind.needs, machines) & (left > 0)).nonzero()[0]
        members = rows[bids.kind[rows] == number]
        covered = bids.limit_nano[members][:, None] >= asks.ask_nano[sellers][None, :]
        bid, ask = (members[found] if side == 0 else sellers[found] for side, found in enumerate(covered.nonzero()))
        pairs_bid.append(bid)
        pairs_ask.append(ask)
        liked_ppm = preference_nano(kind.strategy, PPM, machines, kind.model_id)
        limits = bids.limit_nano[bid]
        gains.append(limits - asks.ask_nano[ask] + _share(limits, liked_ppm[ask]))
        most = np.minimum(wanted[bid], left[ask])
        if kind.needs.spread:
            had = np.isin(bid * len(asks) + ask, before.bid * len(asks) + before.ask)
            most = np.where(had, 0, np.minimum(most, 1))
        capacities.append(most)
    pairs = Pairs(*(np.concatenate(column) for column in (pairs_bid, pairs_ask, gains, capacities)))
    slots = maximum_surplus(pairs, wanted, left)
    some = slots > 0
    bid, ask = pairs.bid[some].astype(np.int64), pairs.ask[some].astype(np.int64)
    return Trades(bid, ask, slots[some], slots[some], slots[some])


def _share(nano: Ints, ppm: Ints) -> Ints:
    """So many parts per million of amounts; of those whose product would not fit 64 bits, to the millionth."""
    large: Ints = nano // PPM * ppm
    return np.where(nano < EXACT_BELOW_NANO, nano * ppm // PPM, large)
