"""The digest that binds an epoch to the book that it saw."""

from dataclasses import replace
from datetime import timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import Book
from backend.domain.ids import NodeId, OfferId, OrderId
from tests.unit.domain.books import OPENED_AT, SPOT, ask, bid, books

BOOK = Book([bid(1, 9, slots=2, rank=1), bid(2, 8)], [ask(1, 3), ask(2, 4, slots=2)], SPOT)
FIRST_BID, SECOND_BID = BOOK.bids
FIRST_ASK, SECOND_ASK = BOOK.asks


def with_bid(**changes: object) -> Book:
    """The book with its first bid changed."""
    return replace(BOOK, bids=[replace(FIRST_BID, **changes), SECOND_BID])  # type: ignore[arg-type]  # any field


def with_ask(**changes: object) -> Book:
    """The book with its first ask changed."""
    return replace(BOOK, asks=[replace(FIRST_ASK, **changes), SECOND_ASK])  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    "changed",
    [
        replace(BOOK, spot_nano=SPOT + 1),
        replace(BOOK, bids=[FIRST_BID]),
        replace(BOOK, asks=[SECOND_ASK]),
        replace(BOOK, bids=[*BOOK.bids, bid(3, 1)]),
        replace(BOOK, asks=[*BOOK.asks, ask(3, 1)]),
        with_bid(order_id=OrderId(UUID(int=7))),
        with_bid(slots=3),
        with_bid(limit_nano=10),
        with_bid(rank=0),
        with_bid(placed_at=OPENED_AT + timedelta(microseconds=1)),
        with_ask(offer_id=OfferId(UUID(int=7))),
        with_ask(node_id=NodeId(UUID(int=7))),
        with_ask(version=2),
        with_ask(slots=2),
        with_ask(ask_nano=2),
    ],
)
def test_any_change_of_a_book_changes_its_digest(changed: Book) -> None:
    assert changed.digest() != BOOK.digest()


few_books = books(most=2, price_max=2, slots_max=2)


@given(few_books, few_books)
def test_two_books_have_the_same_digest_only_if_they_hold_the_same(one: Book, other: Book) -> None:
    def content(book: Book) -> tuple[object, ...]:
        return set(book.bids), set(book.asks), book.spot_nano

    assert (one.digest() == other.digest()) == (content(one) == content(other))


@given(books(most=6, price_max=9, slots_max=4), st.integers(0, 5), st.integers(0, 5))
def test_the_order_of_rows_does_not_change_the_digest(book: Book, at_bid: int, at_ask: int) -> None:
    rotated = Book(
        [*book.bids[at_bid:], *book.bids[:at_bid]], [*book.asks[at_ask:], *book.asks[:at_ask]], book.spot_nano
    )
    assert rotated.digest() == book.digest()


@given(st.integers(-23, 23))
def test_the_zone_in_which_a_database_writes_times_does_not_change_the_digest(hours: int) -> None:
    elsewhere = with_bid(placed_at=FIRST_BID.placed_at.astimezone(timezone(timedelta(hours=hours))))
    assert elsewhere == BOOK
    assert elsewhere.digest() == BOOK.digest()


def test_a_digest_is_a_sha256_of_its_own_for_an_empty_book() -> None:
    assert len(Book([], [], SPOT).digest()) == 32
    assert Book([], [], SPOT).digest() != Book([], [], SPOT + 1).digest()
