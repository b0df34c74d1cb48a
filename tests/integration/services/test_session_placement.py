"""Where sessions are leased: near the model's file, and beside the nodes that a gateway has already."""

from collections.abc import Collection

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Conflict
from backend.domain.ids import NodeId
from backend.domain.orders import CloseReason
from backend.domain.tiers import TIERS, TierName
from backend.services import sessions
from backend.storage.sessions import Session
from tests.market import ASK, Market


def leased(market: Market, model: str = "doubling", never: Collection[NodeId] = ()) -> Session:
    """The session that an order got, in the next epoch."""
    order = sessions.open_session(market.app.uow(), utc_now(), market.buyer, model, "medium", never=never)
    market.clear()
    session = sessions.progress(market.app.uow(), utc_now(), order).lease
    assert session is not None
    return session


def test_a_session_goes_to_the_node_that_has_the_model_among_those_that_cost_the_same(market: Market) -> None:
    other = market.register("other")
    nodes = [market.node(name, slots=2) for name in ("older", "younger")]
    market.executor()
    with market.app.uow() as uow:
        uow.nodes.remember_models({(nodes[1].id, market.model.ref.model_id)}, utc_now())
        uow.nodes.remember_models({(nodes[0].id, other.ref.model_id)}, utc_now())
        uow.commit()
    assert leased(market).node_id == nodes[1].id
    assert leased(market, "other").node_id == nodes[0].id


def test_a_session_pays_no_more_than_a_little_for_a_node_that_has_the_model(market: Market) -> None:
    holder = market.node("holder", ask=2 * ASK)
    cheap = market.node("cheap", ask=ASK)
    market.executor()
    with market.app.uow() as uow:
        uow.nodes.remember_models({(holder.id, market.model.ref.model_id)}, utc_now())
        uow.commit()
    session = leased(market)
    assert (session.node_id, session.price_nano_per_slot_s) == (cheap.id, ASK)


def test_a_session_is_not_leased_a_node_that_it_is_not_to_be_on(market: Market) -> None:
    first, second = market.node("first", slots=4), market.node("second", slots=4, ask=2 * ASK)
    market.executor()
    assert leased(market).node_id == first.id
    assert leased(market, never=[first.id]).node_id == second.id
    order = sessions.open_session(
        market.app.uow(), utc_now(), market.buyer, "doubling", "medium", never=[first.id, second.id]
    )
    market.clear()
    assert sessions.progress(market.app.uow(), utc_now(), order).lease is None
    with market.app.uow() as uow:
        found = uow.orders.find(order)
    assert found is not None
    assert found.reason == CloseReason.NEEDS_UNMET


def test_a_line_has_no_more_slots_than_its_tier(market: Market) -> None:
    market.node("first", slots=4)
    market.executor()
    most = TIERS[TierName.MEDIUM].slots_max
    before = market.wallet().reserved_nano
    with pytest.raises(Conflict) as refused:
        sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium", held_slots=most)
    assert refused.value.code == "slots_above_tier"
    assert market.wallet().reserved_nano == before
    sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium", held_slots=most - 1)
