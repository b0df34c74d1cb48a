"""Uniform k-double auction: every trade of an epoch at one price between the marginal ask and the marginal bid.

Balanced and efficient under truthful bids, not truthful (Wilson 1985). Orders of several slots may be filled in part.
Orders that need more of a node than slots are assigned for maximum surplus, and tiers go first for the slots that are
reserved for them when there are too few; these pay the same price, clipped to what both sides agreed to.
"""

import numpy as np

from backend.domain.auctions.assigning import assign, serve_dedicated, suiting
from backend.domain.auctions.book import Book, Ints
from backend.domain.auctions.clearing import Clearing, Trades
from backend.domain.auctions.crossing import Crossing, by_ask, by_limit, cross, line
from backend.domain.auctions.pairing import pair_up
from backend.domain.auctions.reasons import misses
from backend.domain.money import AMOUNT_NANO_MAX, PPM

K_PPM = 500_000  # the price splits the marginal gap in half
REFILLS_MAX = 16  # times that a tier's line moves up because those at its front found nothing that suits


def clear_uniform(book: Book, _seed: int = 0, k_ppm: int = K_PPM) -> Clearing:
    """Trade the largest volume at which the marginal bid still covers the marginal ask.

    Price = ask + k (bid − ask) at the margin, rounded down, within the book's reserve and cap. With fewer than two bids
    or asks there is nobody to split a gap with: all trade at the spot price or, above it, at the highest ask that
    trades, which everybody who trades covers. It needs no lottery, hence no seed.
    """
    everybody = np.arange(len(book.bids))
    return clear_rows(book, everybody, book.asks.slots.copy(), k_ppm)


def clear_rows(book: Book, rows: Ints, free: Ints, k_ppm: int = K_PPM) -> Clearing:
    """The same for some of the bids and what is `free` of each ask."""
    bids, asks = book.bids, book.asks
    sellers = (free > 0).nonzero()[0]
    thin = len(rows) < 2 or len(sellers) < 2
    least = min(max(book.spot_nano, book.reserve_nano), book.cap_nano) if thin else book.reserve_nano
    buyers = by_limit(bids, rows[bids.limit_nano[rows] >= least])
    found = by_ask(asks.ask_nano, sellers[asks.ask_nano[sellers] <= book.cap_nano])
    places = cross(bids.limit_nano[buyers], bids.slots[buyers], asks.ask_nano[found], free[found])
    crossing = Crossing(buyers[places.bid], found[places.ask], places.slots)
    alike = not crossing or _alike(book, buyers, found, free)
    sections = None if alike else _in_sections(book, buyers, found, free)
    sold = crossing.ask if sections is None else sections.ask
    if not len(sold):
        return Clearing(book, None, Trades(), lambda: misses(book, rows, free, Trades(), None, least))
    # One side of a thin market is one row: the highest ask is its own, or its limit covers all that it trades with.
    price = int(asks.ask_nano[sold].max(initial=least)) if thin else _price(book, crossing, k_ppm)
    trades = _at_one_price(book, crossing, price) if sections is None else _priced(book, sections, price)
    return Clearing(book, price, trades, lambda: misses(book, rows, free, trades, price, least))


def _price(book: Book, crossing: Crossing, k_ppm: int) -> int:
    limit, ask = int(book.bids.limit_nano[crossing.bid[-1]]), int(book.asks.ask_nano[crossing.ask[-1]])
    return min(max(ask + k_ppm * (limit - ask) // PPM, book.reserve_nano), book.cap_nano)


def _alike(book: Book, buyers: Ints, sellers: Ints, free: Ints) -> bool:
    """Whether any slot is as good as another to all, and no tier's reserved slots are in danger."""
    bids = book.bids
    if any(kind.needs.hard for kind in bids.kinds) and np.isin(bids.kind[buyers], _hard_kinds(book)).any():
        return False
    return not book.reserved or not _contested(book, buyers, bids.slots, sellers, free)


def _contested(book: Book, buyers: Ints, wanted: Ints, sellers: Ints, free: Ints) -> bool:
    """Whether somebody who could pay for a slot must go without, however slots are handed out.

    Who bids little can go only to cheap asks, who bids more to those too: all are served unless those up to some limit
    want more slots than are asked up to it. Whoever bids below every ask does not count.
    """
    limits = book.bids.limit_nano[buyers]
    payable = limits >= book.asks.ask_nano[sellers].min(initial=AMOUNT_NANO_MAX)
    order = np.argsort(limits[payable])
    asks = by_ask(book.asks.ask_nano, sellers)
    until_ask = np.concatenate(([0], np.cumsum(free[asks])))
    within = np.searchsorted(book.asks.ask_nano[asks], limits[payable][order], side="right")
    return bool((np.cumsum(wanted[buyers][payable][order]) > until_ask[within]).any())


def _hard_kinds(book: Book) -> list[int]:
    return [number for number, kind in enumerate(book.bids.kinds) if kind.needs.hard]


def _at_one_price(book: Book, crossing: Crossing, price: int) -> Trades:
    won = pair_up(book, crossing)
    prices = np.full(len(won.bid), price, np.int64)
    return Trades(won.bid, won.ask, won.slots, prices, prices)


def _in_sections(book: Book, buyers: Ints, sellers: Ints, free: Ints) -> Trades:
    """Whole nodes first, then what is reserved tier by tier, then everybody by limits and asks; not priced yet."""
    left = np.zeros_like(free)
    left[sellers] = free[sellers]
    wanted = np.zeros(len(book.bids), np.int64)
    wanted[buyers] = book.bids.slots[buyers]
    parts = [serve_dedicated(book, line(book.bids, np.sort(buyers)), wanted, left)]
    contested = bool(book.reserved) and _contested(book, buyers, wanted, sellers, left)
    for tier, slots in book.reserved.items() if contested else ():
        _serve_reserved(book, buyers[book.bids.tier[buyers] == tier], slots, wanted, left, parts)
    parts.append(_first(book, wanted, left, parts))
    return Trades.joined(parts)


def _serve_reserved(book: Book, buyers: Ints, slots: int, wanted: Ints, left: Ints, parts: list[Trades]) -> None:
    """Match a tier's first in line with the slots that are reserved for it; takes from both arrays, adds to the parts.

    Who finds no slot that suits lends their place to the next in line.
    """
    for _ in range(REFILLS_MAX):
        waiting = line(book.bids, np.sort(buyers[_servable(book, buyers, left)]))
        before = np.cumsum(wanted[waiting]) - wanted[waiting]
        allowed = np.zeros_like(wanted)
        allowed[waiting] = np.clip(slots - before, 0, wanted[waiting])
        if not allowed.any():
            return
        parts.append(_first(book, allowed, left, parts))
        served = np.zeros_like(wanted)
        np.add.at(served, parts[-1].bid, parts[-1].slots)
        wanted -= served
        np.subtract.at(left, parts[-1].ask, parts[-1].slots)
        slots -= int(served.sum())
        buyers = buyers[(served == allowed)[buyers]]


def _servable(book: Book, rows: Ints, left: Ints) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which of the bids could pay for a slot that suits them, of what is left."""
    asks = book.asks
    cheapest = [asks.ask_nano[suits].min(initial=AMOUNT_NANO_MAX + 1) for suits in suiting(book, left > 0)]
    return book.bids.limit_nano[rows] >= np.array(cheapest, np.int64)[book.bids.kind[rows]]


def _first(book: Book, wanted: Ints, left: Ints, before: list[Trades]) -> Trades:
    """Match what is wanted with what is left: by price where slots are alike, else for maximum surplus."""
    rows, sellers = (wanted > 0).nonzero()[0], (left > 0).nonzero()[0]
    if np.isin(book.bids.kind[rows], _hard_kinds(book)).any():
        return assign(book, rows, wanted, left, Trades.joined(before))
    buyers, found = by_limit(book.bids, rows), by_ask(book.asks.ask_nano, sellers)
    limits, asks = book.bids.limit_nano[buyers], book.asks.ask_nano[found]
    crossing = cross(limits, wanted[buyers], asks, left[found])
    return Trades(buyers[crossing.bid], found[crossing.ask], crossing.slots, crossing.slots, crossing.slots)


def _priced(book: Book, trades: Trades, price: int) -> Trades:
    """The price of a pair is the market's, clipped to [ask, limit]; pieces of the same pair are one trade."""
    width = len(book.asks)
    pairs, where = np.unique(trades.bid * width + trades.ask, return_inverse=True)
    slots = np.zeros(len(pairs), np.int64)
    np.add.at(slots, where, trades.slots)
    bid, ask = np.divmod(pairs, width)
    prices = np.clip(price, book.asks.ask_nano[ask], book.bids.limit_nano[bid]).astype(np.int64)
    return Trades(bid, ask, slots, prices, prices)
