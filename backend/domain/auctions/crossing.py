"""Sorting the two sides of a book and walking them slot by slot until the next bid is below the next ask."""

from typing import NamedTuple

import numpy as np

from backend.domain.auctions.book import Bids, Ints

SHARE_BITS = 40  # a dominant share in parts per million fits with room to spare
_SHARE_MAX = (1 << SHARE_BITS) - 1


class Crossing(NamedTuple):
    """Pieces of slots that change hands, best bid and cheapest ask first; rows are those of the book."""

    bid: Ints
    ask: Ints
    slots: Ints

    def __bool__(self) -> bool:
        return len(self.bid) > 0


def line(bids: Bids, rows: Ints) -> Ints:
    """The rows in the order in which they wait: tier, who has waited too long, dominant share, time, id."""
    share = np.where(bids.aged[rows], 0, np.minimum(bids.share_ppm[rows], _SHARE_MAX))
    place = (bids.tier[rows] << (SHARE_BITS + 1)) + (~bids.aged[rows]).astype(np.int64) * (_SHARE_MAX + 1) + share
    placed = bids.placed_us[rows]
    if (placed[1:] < placed[:-1]).any():
        return rows[np.lexsort((placed, place))]
    if (place[1:] < place[:-1]).any():
        return rows[np.argsort(place, kind="stable")]
    return rows


def by_limit(bids: Bids, rows: Ints) -> Ints:
    """The rows by price, the highest limit first; those in line settle ties."""
    limits = -bids.limit_nano[rows]
    order = np.argsort(limits)  # the fastest sort leaves ties as they come: they are put right after it
    found, limits = rows[order], limits[order]
    tied = _tied(limits)
    if len(tied):
        waiting = line(bids, np.sort(found[tied]))
        found[tied] = waiting[np.argsort(-bids.limit_nano[waiting], kind="stable")]
    return found


def by_ask(ask_nano: Ints, rows: Ints) -> Ints:
    """The rows by price, the cheapest first; the older offer on a tie."""
    order = np.argsort(ask_nano[rows])
    found = rows[order]
    tied = _tied(ask_nano[found])
    if len(tied):
        older = np.sort(found[tied])
        found[tied] = older[np.argsort(ask_nano[older], kind="stable")]
    return found


def _tied(prices: Ints) -> Ints:
    """Places in a sorted array whose value is that of a neighbour."""
    same = prices[1:] == prices[:-1]
    tied = np.zeros(len(prices), bool)
    tied[1:] |= same
    tied[:-1] |= same
    return tied.nonzero()[0]


def cross(limit_nano: Ints, wanted: Ints, ask_nano: Ints, offered: Ints) -> Crossing:
    """Match sorted sides as far as bids cover asks; indices are places in the sorted sides.

    Each side is a row of slots; where either side goes on to its next order or offer, a new piece begins.
    """
    ends = np.concatenate((np.cumsum(wanted), np.cumsum(offered)))
    merged = np.argsort(ends, kind="stable")  # two sorted runs: merged in one pass
    ends = ends[merged]
    of_bid = merged < len(wanted)
    bid: Ints = np.cumsum(of_bid) - of_bid  # how many bids have ended before
    ask = np.arange(len(ends)) - bid
    pieces = np.diff(ends, prepend=0)
    some = ((pieces > 0) & (bid < len(wanted)) & (ask < len(offered))).nonzero()[0]
    bid, ask, pieces = bid[some], ask[some], pieces[some]
    covered = int(np.count_nonzero(limit_nano[bid] >= ask_nano[ask]))  # true, true, …, false: both sides are sorted
    return Crossing(bid[:covered], ask[:covered], pieces[:covered])
