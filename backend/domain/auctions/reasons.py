"""Why orders got nothing: of what stood between them and a trade, the thing nearest to success."""

import numpy as np

from backend.domain.auctions.assigning import whole
from backend.domain.auctions.book import Book, Flags, Ints
from backend.domain.auctions.clearing import Trades
from backend.domain.auctions.rows import Miss, Unmatched
from backend.domain.ids import OrderId
from backend.domain.placement import Machines, Shortfall, feasible, shortfalls


def misses(
    book: Book,
    rows: Ints,
    free: Ints,
    trades: Trades,
    price_nano: int | None,
    least_nano: int,
    alone: bool = False,
) -> dict[OrderId, Miss]:
    """For each of these bids without a trade its reason; `free` is what the asks had when they came to be served.

    Nobody could buy below `least_nano`. If somebody is `alone`, no limit trades: then reasons are the same for all that
    reach it, or a limit that costs nothing could feel for the lowest ask.
    """
    without = np.setdiff1d(rows, trades.bid)
    offered = free > 0
    if not len(without):
        return {}
    if not offered.any():
        return {book.bids.ids[row]: _NOTHING_FREE for row in without.tolist()}
    found: dict[OrderId, Miss] = {}
    for number in np.unique(book.bids.kind[without]).tolist():
        members = without[book.bids.kind[without] == number]
        needs = book.bids.kinds[number].needs
        suits = offered & feasible(needs, Machines.of(book.asks.machines)) if needs.hard else offered
        if not suits.any():
            lacks = Miss(Unmatched.NEEDS_UNMET, shortfalls=shortfalls(needs, book.asks.machines))
            found |= {book.bids.ids[row]: lacks for row in members.tolist()}
        elif needs.dedicated:
            found |= _of_whole_nodes(book, members, suits, free, price_nano, least_nano)
        else:
            found |= _of_kind(book, members, suits, price_nano, least_nano, alone)
    return found


def _of_whole_nodes(
    book: Book, members: Ints, suits: Flags, free: Ints, price_nano: int | None, least_nano: int
) -> dict[OrderId, Miss]:
    """Reasons of orders that want nodes whole: the more slots they want, the larger a node may be."""
    smallest = int(book.asks.slots[suits].min())
    entire = suits & whole(book, free)
    found: dict[OrderId, Miss] = {}
    for slots in np.unique(book.bids.slots[members]).tolist():
        alike = members[book.bids.slots[members] == slots]
        fits = entire & (book.asks.slots <= slots)
        if fits.any():
            found |= _of_kind(book, alike, fits, price_nano, least_nano)
        else:
            miss = _too_small(slots, smallest) if slots < smallest else _NOTHING_FREE
            found |= {book.bids.ids[row]: miss for row in alike.tolist()}
    return found


def _of_kind(
    book: Book,
    members: Ints,
    suits: Flags,
    price_nano: int | None,
    least_nano: int,
    alone: bool = False,
) -> dict[OrderId, Miss]:
    """Reasons of orders that are served by the same asks, of which there are some."""
    needed = least_nano if alone else max(int(book.asks.ask_nano[suits].min()), least_nano)
    found: dict[OrderId, Miss] = {}
    for row, limit in zip(members.tolist(), book.bids.limit_nano[members].tolist(), strict=True):
        if limit < needed:
            miss = Miss(Unmatched.LIMIT_BELOW_MARKET, max(book.spot_nano, limit + 1))
        elif price_nano is None:
            miss = _NO_PRICE
        else:
            miss = Miss(Unmatched.OUTBID, max(price_nano, limit))
        found[book.bids.ids[row]] = miss
    return found


def _too_small(slots: int, smallest: int) -> Miss:
    """The reason of an order of fewer slots than the smallest node that it could have whole."""
    wanted = f"an idle node of at most {slots} slots"
    return Miss(Unmatched.NEEDS_UNMET, shortfalls=(Shortfall("dedicated", wanted, f"one of {smallest} slots"),))


_NOTHING_FREE = Miss(Unmatched.NO_CAPACITY)
_NO_PRICE = Miss(Unmatched.NO_PRICE)
