"""The digest that binds an epoch to the book that it saw."""

from dataclasses import replace
from datetime import timedelta, timezone
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import AGED
from backend.domain.ids import ModelId, NodeId, OfferId, OrderId
from backend.domain.machines import Machine, Needs
from backend.domain.orders import Strategy
from tests.unit.domain.books import OPENED_AT, SPOT, Rows, ask, bid, books, market

ROWS = replace(market([bid(1, 9, slots=2, tier=1), bid(2, 8)], [ask(1, 3), ask(2, 4, slots=2)]), reserved={1: 2})
NODE = ROWS.asks[0].node_id
PLAIN = Machine(NODE, 1)


@pytest.mark.parametrize(
    "changed",
    [
        replace(ROWS, spot_nano=SPOT + 1),
        replace(ROWS, reserved={}),
        replace(ROWS, reserved={1: 1}),
        replace(ROWS, reserved={2: 2}),
        replace(ROWS, at=OPENED_AT + AGED),
        replace(ROWS, bids=ROWS.bids[:1]),
        replace(ROWS, asks=ROWS.asks[1:]),
        replace(ROWS, bids=(*ROWS.bids, bid(3, 1))),
        replace(ROWS, asks=(*ROWS.asks, ask(3, 1))),
        ROWS.with_bid(0, order_id=OrderId(UUID(int=7))),
        ROWS.with_bid(0, slots=3),
        ROWS.with_bid(0, limit_nano=10),
        ROWS.with_bid(0, tier=0),
        ROWS.with_bid(0, placed_at=OPENED_AT + timedelta(microseconds=1)),
        ROWS.with_bid(0, share_ppm=1),
        ROWS.with_bid(0, needs=Needs(cores=1)),
        ROWS.with_bid(0, strategy=Strategy.COST),
        ROWS.with_bid(0, model_id=ModelId(UUID(int=7))),
        ROWS.with_ask(0, offer_id=OfferId(UUID(int=7))),
        ROWS.with_ask(0, node_id=NodeId(UUID(int=7))),
        ROWS.with_ask(0, version=2),
        ROWS.with_ask(0, slots=2),
        ROWS.with_ask(0, ask_nano=2),
        ROWS.with_ask(0, machine=replace(PLAIN, slots=2)),
        ROWS.with_ask(0, machine=replace(PLAIN, busy_slots=1)),
        ROWS.with_ask(0, machine=replace(PLAIN, cores=2)),
        ROWS.with_ask(0, machine=replace(PLAIN, memory_mb=2)),
        ROWS.with_ask(0, machine=replace(PLAIN, gpu_model="a100")),
        ROWS.with_ask(0, machine=replace(PLAIN, gpu_memory_mb=2)),
        ROWS.with_ask(0, machine=replace(PLAIN, accelerators=2)),
        ROWS.with_ask(0, machine=replace(PLAIN, residency="eu")),
        ROWS.with_ask(0, machine=replace(PLAIN, latency_ms=2)),
        ROWS.with_ask(0, machine=replace(PLAIN, trust_ppm=2)),
        ROWS.with_ask(0, machine=replace(PLAIN, models=frozenset([ModelId(UUID(int=7))]))),
    ],
)
def test_any_change_of_a_book_changes_its_digest(changed: Rows) -> None:
    assert changed.book.digest() != ROWS.book.digest()


few_books = books(most=2, price_max=2, slots_max=2)


@given(few_books, few_books)
def test_two_books_have_the_same_digest_only_if_they_hold_the_same(one: Rows, other: Rows) -> None:
    def content(rows: Rows) -> tuple[object, ...]:
        return set(rows.bids), set(rows.asks), rows.spot_nano

    assert (one.book.digest() == other.book.digest()) == (content(one) == content(other))


@given(books(most=6, price_max=9, slots_max=4), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_the_digest(rows: Rows, random: Random) -> None:
    assert rows.shuffled(random).book.digest() == rows.book.digest()


def test_the_order_in_which_reserved_shares_are_listed_does_not_change_the_digest() -> None:
    one, other = replace(ROWS, reserved={1: 2, 0: 3}), replace(ROWS, reserved={0: 3, 1: 2})
    assert one.book.digest() == other.book.digest()


@given(st.integers(-23, 23))
def test_the_zone_in_which_a_database_writes_times_does_not_change_the_digest(hours: int) -> None:
    elsewhere = ROWS.bids[0].placed_at.astimezone(timezone(timedelta(hours=hours)))
    assert ROWS.with_bid(0, placed_at=elsewhere).book.digest() == ROWS.book.digest()


def test_an_offer_without_a_machine_is_one_of_a_plain_machine() -> None:
    assert ROWS.with_ask(0, machine=PLAIN).book.digest() == ROWS.book.digest()


def test_a_digest_is_a_sha256_of_its_own_for_an_empty_book() -> None:
    assert len(market().book.digest()) == 32
    assert market().book.digest() != market(spot_nano=SPOT + 1).book.digest()
