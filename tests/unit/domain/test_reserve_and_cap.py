"""Nothing is sold below the reserve or above the cap, by any mechanism."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import Book, Unmatched, clear
from backend.domain.money import AMOUNT_NANO_MAX
from tests.unit.domain.books import SPOT, any_books, ask, bid, market
from tests.unit.domain.refusals import refusal

MECHANISMS = ("uniform", "mcafee")


@given(any_books, st.sampled_from(MECHANISMS), st.integers(1, 12), st.integers(0, 12))
def test_every_price_lies_between_the_two_and_between_both_sides(
    rows: object, mechanism: str, reserve: int, room: int
) -> None:
    book = replace(rows.book, reserve_nano=reserve, cap_nano=reserve + room)  # type: ignore[attr-defined]
    clearing = clear(book, mechanism)
    limits = dict(zip(book.bids.ids, book.bids.limit_nano.tolist(), strict=True))
    asks = dict(zip(book.asks.ids, book.asks.ask_nano.tolist(), strict=True))
    for fill in clearing.fills:
        assert reserve <= fill.pays_nano <= reserve + room
        assert asks[fill.offer_id] <= fill.earns_nano <= fill.pays_nano <= limits[fill.order_id]


def test_a_reserve_lifts_the_price_and_leaves_out_who_bids_less() -> None:
    rows = market([bid(1, 9), bid(2, 8), bid(3, 5)], [ask(1, 3), ask(2, 4), ask(3, 4)])
    book = replace(rows.book, reserve_nano=7)
    clearing = clear(book)
    assert {fill.pays_nano for fill in clearing.fills} == {7}
    assert clearing.unmatched[rows.bids[2].order_id].reason is Unmatched.LIMIT_BELOW_MARKET


def test_a_cap_lowers_the_price_and_leaves_out_who_asks_more() -> None:
    rows = market([bid(1, 90), bid(2, 80), bid(3, 70)], [ask(1, 3), ask(2, 4), ask(3, 20)])
    clearing = clear(replace(rows.book, cap_nano=10))
    assert sorted((fill.offer_id.int, fill.pays_nano) for fill in clearing.fills) == [(1, 10), (2, 10)]


@pytest.mark.parametrize(
    ("prices", "field"),
    [
        ({"reserve_nano": 0}, "reserve_nano"),
        ({"reserve_nano": AMOUNT_NANO_MAX + 1}, "reserve_nano"),
        ({"reserve_nano": 5, "cap_nano": 4}, "cap_nano"),
        ({"cap_nano": float("nan")}, "cap_nano"),
    ],
)
def test_prices_that_cannot_be_are_refused(prices: dict[str, int], field: str) -> None:
    error = refusal(lambda: Book.of([], [], SPOT, **prices))  # type: ignore[arg-type]  # wrong on purpose
    assert (error.code, error.field) == (f"invalid_{field}", field)
