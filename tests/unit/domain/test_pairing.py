"""Which of the slots that were won go to whom: models to where their file is, haste to what is near."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import Book, clear
from backend.domain.ids import ModelId, NodeId
from backend.domain.machines import Machine
from backend.domain.orders import Strategy
from tests.unit.domain.books import SPOT, Rows, any_books, ask, bid, market

DIGITS, FACES = ModelId(UUID(int=100)), ModelId(UUID(int=200))


def node(number: int, *models: ModelId, latency_ms: int = 0, slots: int = 1) -> Machine:
    """A machine with these models on it."""
    return Machine(NodeId(UUID(int=number)), slots, latency_ms=latency_ms, models=frozenset(models))


def pairs(rows: Rows) -> dict[int, int]:
    """Which offer each order got."""
    return {fill.order_id.int: fill.offer_id.int for fill in rows.clear().fills}


def test_orders_go_where_their_model_is() -> None:
    bids = [replace(bid(1, 9), model_id=DIGITS), replace(bid(2, 8), model_id=FACES)]
    asks = [ask(1, 3, machine=node(1, FACES)), ask(2, 4, machine=node(2, DIGITS))]
    assert pairs(market(bids, asks)) == {1: 2, 2: 1}


def test_who_cares_for_latency_gets_the_near_node() -> None:
    for hasty in (1, 2):
        bids = [replace(bid(n, 9), strategy=Strategy.LATENCY if n == hasty else Strategy.COST) for n in (1, 2)]
        asks = [ask(1, 3, machine=node(1, latency_ms=90)), ask(2, 4, machine=node(2, latency_ms=5))]
        assert pairs(market(bids, asks)) == {hasty: 2, 3 - hasty: 1}


def test_a_model_matters_more_than_latency() -> None:
    bids = [replace(bid(1, 9), model_id=DIGITS, strategy=Strategy.LATENCY), bid(2, 9)]
    asks = [ask(1, 3, machine=node(1, DIGITS, latency_ms=90)), ask(2, 4, machine=node(2, latency_ms=5))]
    assert pairs(market(bids, asks)) == {1: 1, 2: 2}


models = st.lists(st.sampled_from([DIGITS, FACES]), max_size=2)


@given(any_books, st.data())
def test_nobody_wins_or_loses_by_where_models_are(rows: Rows, data: st.DataObject) -> None:
    plain = clear(Book.of(rows.bids, rows.asks, SPOT))
    bids = [
        replace(
            b, model_id=data.draw(st.sampled_from([DIGITS, FACES, None])), strategy=data.draw(st.sampled_from(Strategy))
        )
        for b in rows.bids
    ]
    asks = [
        replace(
            a,
            machine=Machine(
                a.node_id, a.slots, latency_ms=data.draw(st.integers(0, 2)), models=frozenset(data.draw(models))
            ),
        )
        for a in rows.asks
    ]
    local = clear(Book.of(bids, asks, SPOT))
    for key in ("order_id", "offer_id"):
        slots = [Counter[object](), Counter[object]()]
        for count, clearing in zip(slots, (plain, local), strict=True):
            for fill in clearing.fills:
                count[getattr(fill, key)] += fill.slots
        assert slots[0] == slots[1]
    assert plain.price_nano == local.price_nano
    assert len({(fill.order_id, fill.offer_id) for fill in local.fills}) == len(local.fills)
