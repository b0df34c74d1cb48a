"""A book in columns holds what its rows hold, and survives being written down."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import AGED, Book, clear
from backend.domain.errors import Invalid
from backend.domain.ids import ModelId
from backend.domain.machines import NO_NEEDS, Machine, Needs
from backend.domain.orders import Strategy
from tests.unit.domain.books import OPENED_AT, Rows, any_books, ask, bid, market
from tests.unit.domain.needy_books import needy_books
from tests.unit.domain.refusals import refusal

MODEL = ModelId(UUID(int=9))


@given(any_books)
def test_columns_are_the_rows_in_the_order_of_their_ids(rows: Rows) -> None:
    bids, asks = rows.book.bids, rows.book.asks
    by_id = sorted(rows.bids, key=lambda b: b.order_id)
    offers = sorted(rows.asks, key=lambda a: a.offer_id)
    assert (len(bids), len(asks)) == (len(rows.bids), len(rows.asks))
    assert list(bids.ids) == [b.order_id for b in by_id]
    assert bids.slots.tolist() == [b.slots for b in by_id]
    assert bids.limit_nano.tolist() == [b.limit_nano for b in by_id]
    assert bids.tier.tolist() == [b.tier for b in by_id]
    assert list(asks.ids) == [a.offer_id for a in offers]
    assert list(asks.node_ids) == [a.node_id for a in offers]
    assert asks.version.tolist() == [a.version for a in offers]
    assert asks.slots.tolist() == [a.slots for a in offers]
    assert asks.ask_nano.tolist() == [a.ask_nano for a in offers]


def test_orders_that_want_the_same_of_nodes_are_of_one_kind() -> None:
    big = Needs(memory_mb=2_048)
    rows = market([bid(1, 9), bid(2, 8, needs=big), bid(3, 7), bid(4, 6, needs=big)])
    found = rows.with_bid(2, model_id=MODEL).with_bid(3, strategy=Strategy.COST).book.bids
    assert [
        (found.kinds[kind].needs, found.kinds[kind].strategy, found.kinds[kind].model_id) for kind in found.kind
    ] == [
        (NO_NEEDS, Strategy.BALANCED, None),
        (big, Strategy.BALANCED, None),
        (NO_NEEDS, Strategy.BALANCED, MODEL),
        (big, Strategy.COST, None),
    ]
    assert len(rows.book.bids.kinds) == 2


def test_an_order_has_aged_when_it_has_waited_for_that_long_at_the_books_moment() -> None:
    rows = replace(market([bid(1, 9), bid(2, 9)]), at=OPENED_AT + AGED)
    assert rows.with_bid(1, placed_at=OPENED_AT + timedelta(microseconds=1)).book.bids.aged.tolist() == [True, False]
    assert replace(rows, at=None).book.bids.aged.tolist() == [False, False]


@given(any_books | needy_books)
def test_a_book_that_was_written_down_clears_the_same_and_has_the_same_digest(rows: Rows) -> None:
    read = Book.load(rows.book.dump())
    assert read.digest() == rows.book.digest()
    assert clear(read) == rows.clear()
    assert clear(read, "mcafee") == rows.clear("mcafee")


def test_every_attribute_of_a_machine_and_of_needs_survives_being_written_down() -> None:
    node = ask(1, 3).node_id
    machine = Machine(node, 4, 1, 8, 4_096, "a100", 80_000, 2, "eu", 7, 600_000, frozenset([MODEL]))
    needs = Needs(8, 4_096, "a100", 80_000, 2, ("eu", "us"), 10, 500_000, True, True, (node,), (ask(2, 3).node_id,))
    rows = market([bid(1, 9, needs=needs)], [ask(1, 3, slots=3, machine=machine)])
    read = Book.load(replace(rows, reserved={2: 5}).with_bid(0, model_id=MODEL).book.dump())
    assert list(read.asks.machines) == [machine]
    assert (read.bids.kinds[0].needs, read.bids.kinds[0].model_id) == (needs, MODEL)
    assert (read.reserved, read.spot_nano) == ({2: 5}, rows.spot_nano)


DUMP = market([bid(1, 9), bid(2, 8)], [ask(1, 3), ask(2, 4)]).book.dump()


@pytest.mark.parametrize(
    "dumped",
    [b"", b"not a book", b"PK\x03\x04 nor an archive", DUMP[: len(DUMP) // 2], DUMP[:100] + bytes(40) + DUMP[140:]],
)
def test_what_is_not_a_book_that_was_written_down_is_refused(dumped: bytes) -> None:
    error = refusal(lambda: Book.load(dumped))
    assert (error.code, error.field) == ("invalid_book", "book")


@given(st.data())
def test_a_dump_of_which_a_byte_changed_is_refused_or_reads_as_some_book(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(DUMP) - 1))
    changed = DUMP[:at] + bytes([data.draw(st.integers(0, 255))]) + DUMP[at + 1 :]
    with suppress(Invalid):
        Book.load(changed).digest()


def test_the_same_book_is_written_down_the_same_each_time() -> None:
    assert market([bid(2, 8), bid(1, 9)], [ask(1, 3), ask(2, 4)]).book.dump() == DUMP
