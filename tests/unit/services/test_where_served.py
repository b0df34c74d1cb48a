"""Nodes that serve some models only: in an auction nobody is given one that does not serve what they run."""

from datetime import UTC, datetime

from backend.domain.auctions import Ask, Bid, Book, clear
from backend.domain.ids import ModelId, NodeId, OfferId, OrderId
from backend.domain.machines import NO_NEEDS, Machine, Needs
from backend.services.queueing import where_served
from backend.storage.ids import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGITS, SCANS = ModelId(new_id()), ModelId(new_id())


def bid(model: ModelId, needs: Needs = NO_NEEDS) -> Bid:
    return Bid(OrderId(new_id()), 1, 100, 0, NOW, needs=needs, model_id=model)


def ask(*serves: ModelId, any_model: bool = False) -> Ask:
    node = NodeId(new_id())
    return Ask(OfferId(new_id()), node, 1, 1, 1, Machine(node, 1), None if any_model else frozenset(serves))


def test_where_all_nodes_run_anything_nothing_changes() -> None:
    bids, asks = [bid(DIGITS), bid(SCANS)], [ask(any_model=True), ask(any_model=True)]
    assert where_served(bids, asks) == (bids, asks)


def test_a_node_that_serves_nothing_of_what_is_wanted_is_not_offered() -> None:
    own, other = ask(any_model=True), ask(SCANS)
    bids = [bid(DIGITS)]
    assert where_served(bids, [own, other]) == (bids, [own])
    assert where_served(bids, [ask()]) == (bids, [])


def test_an_order_avoids_nodes_that_serve_other_models_and_what_it_avoided_before() -> None:
    avoided = NodeId(new_id())
    digits, scans = ask(DIGITS), ask(SCANS)
    wants_digits, wants_scans = bid(DIGITS), bid(SCANS, Needs(never=(avoided,)))
    bids, asks = where_served([wants_digits, wants_scans], [digits, scans])
    assert asks == [digits, scans]
    assert bids[0].needs.never == (scans.node_id,)
    assert set(bids[1].needs.never) == {avoided, digits.node_id}


def test_each_order_is_cleared_to_a_node_that_serves_it() -> None:
    digits, scans = ask(DIGITS), ask(SCANS)
    bids = [bid(DIGITS), bid(SCANS), bid(SCANS)]
    wanted = {one.order_id: one.model_id for one in bids}
    served, asks = where_served(bids, [digits, scans])
    clearing = clear(Book.of(served, asks, 1, NOW))
    assert {(wanted[fill.order_id], fill.node_id) for fill in clearing.fills} == {
        (DIGITS, digits.node_id),
        (SCANS, scans.node_id),
    }
