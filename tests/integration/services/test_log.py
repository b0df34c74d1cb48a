"""The audit log is written in the transaction that it tells of, or not at all."""

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.ids import KeyId, NodeId
from backend.services import deposits, log, nodes, orders
from backend.services.log import LIST_MAX
from backend.storage.log import Told
from tests.market import Market


def newest(market: Market, action: str) -> list[Told]:
    return log.list_entries(market.app.uow(), action=action)


def test_an_order_that_an_admin_cancels_is_told_and_one_of_its_owner_is_not(market: Market) -> None:
    market.node("a")
    market.executor()
    own, other = market.place(2)
    orders.cancel_order(market.app.uow(), utc_now(), own.id, market.buyer)
    assert newest(market, "order.cancel") == []
    admin = Principal(KeyId(new_id()), market.provider.account_id, Role.ADMIN)
    orders.cancel_order(market.app.uow(), utc_now(), other.id, admin)
    [told] = newest(market, "order.cancel")
    assert (told.subject, told.actor, told.actor_id, told.key_id) == (
        f"order {other.id}",
        "provider",
        admin.account_id,
        admin.key_id,
    )
    orders.cancel_order(market.app.uow(), utc_now(), other.id, admin)
    assert newest(market, "order.cancel") == [told]


def test_what_the_operator_does_at_the_machine_has_no_actor(market: Market) -> None:
    [told] = newest(market, "model.register")
    assert (told.actor, told.actor_id, told.key_id) == (None, None, None)
    assert (told.subject, told.details["name"]) == (f"model {market.model.ref.model_id}", "doubling")


def test_what_was_refused_or_done_before_is_not_told(market: Market) -> None:
    before = len(newest(market, "deposit."))
    for _ in range(2):
        deposits.deposit(market.app.uow(), utc_now(), market.buyer.account_id, 7, "invoice")
    once = newest(market, "deposit.")
    assert len(once) == before + 1
    with pytest.raises(Conflict):
        deposits.deposit(market.app.uow(), utc_now(), market.buyer.account_id, 8, "invoice")
    with pytest.raises(NotFound):
        nodes.drain_node(market.app.uow(), utc_now(), NodeId(new_id()), market.provider)
    assert newest(market, "deposit.") == once
    assert newest(market, "node.drain") == []


@pytest.mark.parametrize("limit", [0, LIST_MAX + 1])
def test_a_page_has_a_size(market: Market, limit: int) -> None:
    with pytest.raises(Invalid) as refused:
        log.list_entries(market.app.uow(), limit=limit)
    assert (refused.value.code, refused.value.field) == ("invalid_limit", "limit")
