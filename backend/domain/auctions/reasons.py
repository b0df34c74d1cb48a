"""Why orders got nothing: of what stood between them and a trade, the thing nearest to success."""

import numpy as np

from backend.domain.auctions.book import Book, Ints
from backend.domain.auctions.clearing import Trades
from backend.domain.auctions.rows import Miss, Unmatched
from backend.domain.ids import OrderId
from backend.domain.placement import Machines, Shortfall, feasible, shortfalls


def misses(
    book: Book, rows: Ints, free: Ints, trades: Trades, price_nano: int | None, thin: bool
) -> dict[OrderId, Miss]:
    """For each of these bids without a trade its reason; `free` is what the asks had when they came to be served."""
    without = np.setdiff1d(rows, trades.bid)
    offered = free > 0
    if not len(without):
        return {}
    if not offered.any():
        return {book.bids.ids[row]: _NOTHING_FREE for row in without.tolist()}
    found: dict[OrderId, Miss] = {}
    for number in np.unique(book.bids.kind[without]).tolist():
        members = without[book.bids.kind[without] == number]
        suits, lacks = offered, _NOTHING_FREE
        if book.bids.kinds[number].needs.hard:
            suits = offered & feasible(book.bids.kinds[number].needs, Machines.of(book.asks.machines))
            if not suits.any():
                lacks = Miss(
                    Unmatched.NEEDS_UNMET,
                    shortfalls=shortfalls(book.bids.kinds[number].needs, book.asks.machines),
                )
            elif book.bids.kinds[number].needs.dedicated:
                smallest = int(book.asks.slots[suits].min())
                small = members[book.bids.slots[members] < smallest]
                found |= {book.bids.ids[row]: _too_small(book, row, smallest) for row in small.tolist()}
                members = np.setdiff1d(members, small)
        found |= _of_kind(book, members, suits, lacks, price_nano, thin)
    return found


def _of_kind(
    book: Book,
    members: Ints,
    suits: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    lacks: Miss,
    price_nano: int | None,
    thin: bool,
) -> dict[OrderId, Miss]:
    """Reasons of orders that are served by the same asks."""
    if not suits.any():
        return {book.bids.ids[row]: lacks for row in members.tolist()}
    needed = max(int(book.asks.ask_nano[suits].min()), book.reserve_nano)
    if thin:
        needed = max(needed, book.spot_nano)
    found: dict[OrderId, Miss] = {}
    for row, limit in zip(members.tolist(), book.bids.limit_nano[members].tolist(), strict=True):
        if limit < needed:
            miss = Miss(Unmatched.LIMIT_BELOW_MARKET, max(book.spot_nano, limit + 1))
        elif price_nano is None:
            miss = _NOTHING_FREE
        else:
            miss = Miss(Unmatched.OUTBID, max(price_nano, limit))
        found[book.bids.ids[row]] = miss
    return found


def _too_small(book: Book, row: int, smallest: int) -> Miss:
    """The reason of an order of fewer slots than the smallest node that it could have whole."""
    wanted = f"an idle node of at most {int(book.bids.slots[row])} slots"
    return Miss(Unmatched.NEEDS_UNMET, shortfalls=(Shortfall("dedicated", wanted, f"one of {smallest} slots"),))


_NOTHING_FREE = Miss(Unmatched.NO_CAPACITY)
