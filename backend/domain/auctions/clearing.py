"""The outcome of an auction: who gets which slots at which prices, and why the others got nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from backend.domain.auctions.book import Book, Ints
from backend.domain.auctions.rows import Fill, Miss
from backend.domain.ids import OrderId


def _nothing() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Matched slots in columns; `bid` and `ask` are rows of the book."""

    bid: Ints = field(default_factory=_nothing)
    ask: Ints = field(default_factory=_nothing)
    slots: Ints = field(default_factory=_nothing)
    pays_nano: Ints = field(default_factory=_nothing)
    earns_nano: Ints = field(default_factory=_nothing)

    def __len__(self) -> int:
        return len(self.bid)

    @staticmethod
    def joined(parts: Sequence["Trades"]) -> "Trades":
        """All of them."""
        names = ("bid", "ask", "slots", "pays_nano", "earns_nano")
        return Trades(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Clearing:
    """What clearing a book gave; `price_nano` is the market's price, None when nothing traded.

    The outcome is in columns; row by row, and with its reasons, it is there for whoever asks.
    """

    book: Book
    price_nano: int | None
    trades: Trades
    explain: Callable[[], dict[OrderId, Miss]]

    @cached_property
    def unmatched(self) -> dict[OrderId, Miss]:
        """Orders without a trade and their reasons."""
        return self.explain()

    @cached_property
    def fills(self) -> tuple[Fill, ...]:
        """The trades row by row, in the order of order and offer ids."""
        bids, asks, t = self.book.bids, self.book.asks, self.trades
        order = np.lexsort((t.ask, t.bid))
        columns = zip(
            *(column[order].tolist() for column in (t.bid, t.ask, t.slots, t.pays_nano, t.earns_nano)), strict=True
        )
        return tuple(
            Fill(bids.ids[bid], asks.ids[ask], asks.node_ids[ask], slots, pays, earns)
            for bid, ask, slots, pays, earns in columns
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clearing):
            return NotImplemented
        return (self.price_nano, self.fills, self.unmatched) == (other.price_nano, other.fills, other.unmatched)

    __hash__ = None  # type: ignore[assignment]  # holds arrays and a dictionary
