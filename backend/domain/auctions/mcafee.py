"""McAfee's double auction (1992): truthful, never at a loss, and at most the least valuable trade is given up for it.

Books in which somebody trades several slots clear by the multi-unit trade reduction of Huang, Scheller-Wolf & Sycara
(2002): the marginal buyer and the marginal seller set the prices and get nothing, and whoever is too many on the
longer side is left out by place in line, never by price. Truthful in prices, not in the number of slots.
"""

from dataclasses import replace

import numpy as np

from backend.domain.auctions.book import Book, Ints
from backend.domain.auctions.clearing import Clearing, Trades
from backend.domain.auctions.crossing import by_ask, by_limit, cross, line
from backend.domain.auctions.reasons import misses
from backend.domain.auctions.rows import Miss
from backend.domain.auctions.uniform import clear_rows
from backend.domain.ids import OrderId


def clear_mcafee(book: Book, _seed: int = 0) -> Clearing:
    """Match a book so that nobody gains by another price than their own; the market keeps what is between the prices.

    One buyer or one seller alone has nobody to take a price from: no trade. Orders that need more of a node than a slot
    take no part; they are cleared by the uniform auction on what is left. Reserved shares do not apply: they would make
    waiting pay.
    """
    bids, asks = book.bids, book.asks
    hard = np.array([kind.needs.hard for kind in bids.kinds], bool)
    plain = (~hard[bids.kind]).nonzero()[0] if len(bids) else np.zeros(0, np.int64)
    sellers = by_ask(asks.ask_nano, ((asks.slots > 0) & (asks.ask_nano <= book.cap_nano)).nonzero()[0])
    buyers = by_limit(bids, plain[bids.limit_nano[plain] >= book.reserve_nano])
    alone = len(buyers) < 2 or len(sellers) < 2
    trades = Trades() if alone else _trades(book, buyers, sellers)
    price = int(trades.pays_nano[0]) if len(trades) else None

    def explain() -> dict[OrderId, Miss]:
        return misses(book, plain, asks.slots, trades, price, book.reserve_nano, alone)

    rest = np.setdiff1d(np.arange(len(bids)), plain)
    if not len(rest):
        return Clearing(book, price, trades, explain)
    left = asks.slots.copy()
    np.subtract.at(left, trades.ask, trades.slots)
    later = clear_rows(replace(book, reserved={}), rest, left)
    return Clearing(
        book,
        price if price is not None else later.price_nano,
        Trades.joined([trades, later.trades]),
        lambda: explain() | later.unmatched,
    )


def _trades(book: Book, buyers: Ints, sellers: Ints) -> Trades:
    bids, asks = book.bids, book.asks
    limits, prices = bids.limit_nano[buyers], asks.ask_nano[sellers]
    crossing = cross(limits, bids.slots[buyers], prices, asks.slots[sellers])
    if not crossing:
        return Trades()
    last_bid, last_ask = int(crossing.bid[-1]), int(crossing.ask[-1])
    single = (bids.slots[buyers] == 1).all() and (asks.slots[sellers] == 1).all()
    if single and last_bid + 1 < len(buyers) and last_ask + 1 < len(sellers):
        price = (int(limits[last_bid + 1]) + int(prices[last_ask + 1])) // 2
        price = min(max(price, book.reserve_nano), book.cap_nano)
        if prices[last_ask] <= price <= limits[last_bid]:
            return _matched(book, buyers[: last_bid + 1], sellers[: last_ask + 1], price, price)
    pays, earns = min(int(limits[last_bid]), book.cap_nano), int(prices[last_ask])
    return _matched(book, buyers[:last_bid], sellers[:last_ask], pays, earns)


def _matched(book: Book, buyers: Ints, sellers: Ints, pays_nano: int, earns_nano: int) -> Trades:
    """All slots that these buyers and sellers have in common, in line on both sides: the longer one is cut there."""
    waiting, found = line(book.bids, np.sort(buyers)), np.sort(sellers)
    alike = np.ones(len(waiting), np.int64), np.zeros(len(found), np.int64)
    pieces = cross(alike[0], book.bids.slots[waiting], alike[1], book.asks.slots[found])
    count = len(pieces.bid)
    return Trades(
        waiting[pieces.bid],
        found[pieces.ask],
        pieces.slots,
        np.full(count, pays_nano, np.int64),
        np.full(count, earns_nano, np.int64),
    )
