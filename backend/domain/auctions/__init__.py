"""Double auctions of one market's slots: mechanisms behind one interface."""

from backend.domain.auctions.book import AGED, Book
from backend.domain.auctions.clearing import Clearing, Trades
from backend.domain.auctions.mechanisms import DEFAULT_MECHANISM, MECHANISMS, RULES, clear
from backend.domain.auctions.rows import Ask, Bid, Fill, Miss, Unmatched

__all__ = [
    "AGED",
    "DEFAULT_MECHANISM",
    "MECHANISMS",
    "RULES",
    "Ask",
    "Bid",
    "Book",
    "Clearing",
    "Fill",
    "Miss",
    "Trades",
    "Unmatched",
    "clear",
]
