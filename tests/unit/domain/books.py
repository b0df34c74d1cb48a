"""Order books for the auctions' tests, and what an auction must find in them, computed the slow way."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import linprog

from backend.domain.auctions import Ask, Bid, Book, Clearing, Fill
from backend.domain.auctions import clear as clear_book
from backend.domain.ids import NodeId, OfferId, OrderId
from backend.domain.machines import NO_NEEDS, Machine, Needs
from backend.domain.placement import suits

OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)
SPOT = 5


@dataclass(frozen=True)
class Rows:
    """A market as its rows: what a book is made of, and what each row of it is looked up by."""

    bids: tuple[Bid, ...] = ()
    asks: tuple[Ask, ...] = ()
    spot_nano: int = SPOT
    reserved: Mapping[int, int] = field(default_factory=dict)
    at: datetime | None = None

    @property
    def book(self) -> Book:
        """Its book."""
        return Book.of(self.bids, self.asks, self.spot_nano, self.at, self.reserved)

    def clear(self, mechanism: str = "uniform", seed: int = 0) -> Clearing:
        """Its clearing by a mechanism."""
        return clear_book(self.book, mechanism, seed)

    def bid_of(self, fill: Fill) -> Bid:
        """The order that a fill serves."""
        return next(b for b in self.bids if b.order_id == fill.order_id)

    def ask_of(self, fill: Fill) -> Ask:
        """The offer that a fill takes from."""
        return next(a for a in self.asks if (a.offer_id, a.node_id) == (fill.offer_id, fill.node_id))

    def shuffled(self, random: Random) -> "Rows":
        """The same rows, listed in another order."""
        bids, asks = random.sample(self.bids, len(self.bids)), random.sample(self.asks, len(self.asks))
        return replace(self, bids=tuple(bids), asks=tuple(asks))

    def with_bid(self, index: int, **changes: object) -> "Rows":
        """The market with one of its orders changed."""
        changed = replace(self.bids[index], **changes)  # type: ignore[arg-type]  # any field
        return replace(self, bids=(*self.bids[:index], changed, *self.bids[index + 1 :]))

    def with_ask(self, index: int, **changes: object) -> "Rows":
        """The market with one of its offers changed."""
        changed = replace(self.asks[index], **changes)  # type: ignore[arg-type]  # any field
        return replace(self, asks=(*self.asks[:index], changed, *self.asks[index + 1 :]))


def bid(number: int, limit: int, slots: int = 1, tier: int = 0, minute: int = 0, needs: Needs = NO_NEEDS) -> Bid:
    """An order with that number as its id."""
    placed_at = OPENED_AT + timedelta(minutes=minute)
    return Bid(OrderId(UUID(int=number)), slots, limit, tier, placed_at, needs=needs)


def ask(number: int, price: int, slots: int = 1, version: int = 1, machine: Machine | None = None) -> Ask:
    """An offer with that number as its id, of the node with the same number."""
    return Ask(OfferId(UUID(int=number)), NodeId(UUID(int=number)), version, slots, price, machine)


def market(bids: Iterable[Bid] = (), asks: Iterable[Ask] = (), spot_nano: int = SPOT) -> Rows:
    """A market of these rows, without reserved shares and before anybody has aged."""
    return Rows(tuple(bids), tuple(asks), spot_nano)


def singles(limits: Iterable[int], prices: Iterable[int]) -> Rows:
    """A market of one slot a row, as text books write it."""
    return market(
        [bid(number, limit) for number, limit in enumerate(limits, 1)],
        [ask(number, price) for number, price in enumerate(prices, 1)],
    )


def books(*, most: int, price_max: int, slots_max: int, least: int = 0, slots_min: int = 0) -> st.SearchStrategy[Rows]:
    """Markets with `least` to `most` rows a side; few prices, tiers and times, so that rows tie."""
    prices = st.integers(1, price_max)
    ids = st.permutations(range(1, most + 1))
    bid_rows = st.lists(
        st.tuples(prices, st.integers(1, slots_max), st.integers(0, 3), st.integers(0, 2)),
        min_size=least,
        max_size=most,
    )
    ask_rows = st.lists(st.tuples(prices, st.integers(slots_min, slots_max)), min_size=least, max_size=most)
    return st.builds(
        lambda bid_ids, bids, ask_ids, asks, spot: market(
            [bid(number, *row) for number, row in zip(bid_ids, bids, strict=False)],
            [ask(number, *row) for number, row in zip(ask_ids, asks, strict=False)],
            spot,
        ),
        ids,
        bid_rows,
        ids,
        ask_rows,
        prices,
    )


any_books = books(most=12, price_max=12, slots_max=5) | books(most=6, price_max=10**12, slots_max=1_024)
crowded_books = books(most=8, price_max=2, slots_max=2)  # almost all rows tie
small_books = books(most=5, price_max=30, slots_max=4)
single_slot_books = books(most=8, price_max=12, slots_max=1, slots_min=1)


def offered(rows: Rows) -> list[Ask]:
    """Asks that have anything to sell."""
    return [a for a in rows.asks if a.slots]


def is_thin(rows: Rows) -> bool:
    """Whether a side has fewer than two rows, so that nothing is sold below the spot price."""
    return len(rows.bids) < 2 or len(offered(rows)) < 2


def least_price(rows: Rows) -> int:
    """The least that anybody may pay, in a book without a reserve."""
    return rows.spot_nano if is_thin(rows) else 1


def machine_of(offer: Ask) -> Machine:
    """The machine behind an offer: a plain one, unless it is said."""
    return offer.machine or Machine(offer.node_id, offer.slots)


def volume(clearing: Clearing) -> int:
    """Slots that changed hands."""
    return sum(fill.slots for fill in clearing.fills)


def got(clearing: Clearing) -> Counter[OrderId]:
    """Slots that each order got."""
    found: Counter[OrderId] = Counter()
    for fill in clearing.fills:
        found[fill.order_id] += fill.slots
    return found


def sold(clearing: Clearing) -> Counter[OfferId]:
    """Slots that each offer sold."""
    found: Counter[OfferId] = Counter()
    for fill in clearing.fills:
        found[fill.offer_id] += fill.slots
    return found


def welfare(rows: Rows, clearing: Clearing) -> int:
    """What buyers, sellers and the market gained together: limits less asks of all slots that changed hands."""
    return sum(f.slots * (rows.bid_of(f).limit_nano - rows.ask_of(f).ask_nano) for f in clearing.fills)


def surplus(clearing: Clearing) -> int:
    """What stays with the market."""
    return sum(fill.slots * (fill.pays_nano - fill.earns_nano) for fill in clearing.fills)


def check_fills(rows: Rows, clearing: Clearing) -> None:
    """What holds for every mechanism and every book: rationality, capacity, constraints, and an answer for everyone."""
    for fill in clearing.fills:
        order, offer = rows.bid_of(fill), rows.ask_of(fill)
        assert fill.slots >= 1
        assert offer.ask_nano <= fill.earns_nano <= fill.pays_nano <= order.limit_nano
        assert suits(order.needs, machine_of(offer))
    bought, taken = got(clearing), sold(clearing)
    assert all(bought[b.order_id] <= b.slots for b in rows.bids)
    assert all(taken[a.offer_id] <= a.slots for a in rows.asks)
    assert bought.keys().isdisjoint(clearing.unmatched)
    assert bought.keys() | clearing.unmatched.keys() == {b.order_id for b in rows.bids}
    assert (clearing.price_nano is None) == (not clearing.fills)


def volume_at(rows: Rows, price: int) -> int:
    """Slots that can change hands at one price for all."""
    demand = sum(b.slots for b in rows.bids if b.limit_nano >= price)
    supply = sum(a.slots for a in rows.asks if a.ask_nano <= price)
    return min(demand, supply)


def best_volume(rows: Rows) -> int:
    """The most slots that any one price that may be lets change hands, found by trying all prices."""
    prices = {b.limit_nano for b in rows.bids} | {a.ask_nano for a in rows.asks} | {least_price(rows)}
    return max(volume_at(rows, price) for price in prices if price >= least_price(rows))


def best_welfare(rows: Rows) -> int:
    """The largest welfare of any assignment of slots to pairs that suit: a linear programme, whose corners are whole.

    Bids below the least price count for nothing.
    """
    pairs = [
        (b, a)
        for b, order in enumerate(rows.bids)
        for a, offer in enumerate(rows.asks)
        if order.limit_nano >= max(offer.ask_nano, least_price(rows)) and suits(order.needs, machine_of(offer))
    ]
    if not pairs:
        return 0
    capacity = np.array([b.slots for b in rows.bids] + [a.slots for a in rows.asks])
    uses = np.zeros((len(capacity), len(pairs)))
    for column, (b, a) in enumerate(pairs):
        uses[b, column] = uses[len(rows.bids) + a, column] = 1
    gains = [rows.bids[b].limit_nano - rows.asks[a].ask_nano for b, a in pairs]
    most = [1 if rows.bids[b].needs.spread else None for b, _ in pairs]
    solved = linprog([-gain for gain in gains], A_ub=uses, b_ub=capacity, bounds=[(0, high) for high in most])
    assert solved.success, solved.message
    return round(-float(solved.fun))
