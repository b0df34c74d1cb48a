"""Double auctions of one market's slots: mechanisms behind one interface."""

from backend.domain.auctions.book import Ask, Bid, Book, Clearing, Fill, Unmatched
from backend.domain.auctions.mechanisms import MECHANISMS, clear

__all__ = ["MECHANISMS", "Ask", "Bid", "Book", "Clearing", "Fill", "Unmatched", "clear"]
