"""Order books for the auctions' tests, and what an auction must find in them, computed the slow way."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID

from hypothesis import strategies as st

from backend.domain.auctions import Ask, Bid, Book, Clearing
from backend.domain.ids import NodeId, OfferId, OrderId

OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)
SPOT = 5


def bid(number: int, limit: int, slots: int = 1, rank: int = 0, minute: int = 0) -> Bid:
    """An order with that number as its id."""
    return Bid(OrderId(UUID(int=number)), slots, limit, rank, OPENED_AT + timedelta(minutes=minute))


def ask(number: int, price: int, slots: int = 1, version: int = 1) -> Ask:
    """An offer with that number as its id, of the node with the same number."""
    return Ask(OfferId(UUID(int=number)), NodeId(UUID(int=number)), version, slots, price)


def _numbered(numbers: Iterable[int], rows: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [(number, *row) for number, row in zip(numbers, rows, strict=False)]


def books(*, most: int, price_max: int, slots_max: int, least: int = 0) -> st.SearchStrategy[Book]:
    """Books with `least` to `most` rows a side; few prices, ranks and times, so that rows tie."""
    prices = st.integers(1, price_max)
    ids = st.permutations(range(1, most + 1))
    bid_rows = st.lists(
        st.tuples(prices, st.integers(1, slots_max), st.integers(0, 3), st.integers(0, 2)),
        min_size=least,
        max_size=most,
    )
    ask_rows = st.lists(st.tuples(prices, st.integers(0, slots_max)), min_size=least, max_size=most)
    return st.builds(
        lambda bid_ids, bids, ask_ids, asks, spot: Book(
            [bid(*row) for row in _numbered(bid_ids, bids)], [ask(*row) for row in _numbered(ask_ids, asks)], spot
        ),
        ids,
        bid_rows,
        ids,
        ask_rows,
        prices,
    )


any_books = books(most=12, price_max=12, slots_max=5) | books(most=6, price_max=10**12, slots_max=1_024)
crowded_books = books(most=8, price_max=2, slots_max=2)  # almost all rows tie
small_books = books(most=4, price_max=8, slots_max=2)


def offered(book: Book) -> list[Ask]:
    """Asks that have anything to sell."""
    return [a for a in book.asks if a.slots]


def is_thin(book: Book) -> bool:
    """Whether a side has fewer than two rows, so that the spot price decides."""
    return len(book.bids) < 2 or len(offered(book)) < 2


def volume(clearing: Clearing) -> int:
    """Slots that changed hands."""
    return sum(fill.slots for fill in clearing.fills)


def welfare(clearing: Clearing) -> int:
    """What buyers and sellers gained together: limits less asks of all slots that changed hands."""
    return sum(fill.slots * (fill.bid.limit_nano - fill.ask.ask_nano) for fill in clearing.fills)


def volume_at(book: Book, price: int) -> int:
    """Slots that can change hands at one price for all."""
    demand = sum(b.slots for b in book.bids if b.limit_nano >= price)
    supply = sum(a.slots for a in book.asks if a.ask_nano <= price)
    return min(demand, supply)


def best_volume(book: Book) -> int:
    """The most slots that any one price lets change hands, found by trying all prices."""
    if is_thin(book):
        return volume_at(book, book.spot_nano)
    prices = {b.limit_nano for b in book.bids} | {a.ask_nano for a in book.asks}
    return max(volume_at(book, price) for price in prices)


def best_welfare(book: Book) -> int:
    """The largest welfare of any assignment of slots, found by trying all; thin markets trade across spot only."""
    thin = is_thin(book)
    limits = [b.limit_nano for b in book.bids for _ in range(b.slots) if not thin or b.limit_nano >= book.spot_nano]
    asks = [a for a in book.asks if not thin or a.ask_nano <= book.spot_nano]

    @cache
    def best(done: int, left: tuple[int, ...]) -> int:
        if done == len(limits):
            return 0
        choices = [best(done + 1, left)]
        for place, a in enumerate(asks):
            if left[place] and a.ask_nano <= limits[done]:
                rest = (*left[:place], left[place] - 1, *left[place + 1 :])
                choices.append(limits[done] - a.ask_nano + best(done + 1, rest))
        return max(choices)

    return best(0, tuple(a.slots for a in asks))
