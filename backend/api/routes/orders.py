"""Orders: placed one by one or many at once, looked at, cancelled, and what they gave."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Anyone
from backend.api.wire.base import Text
from backend.api.wire.orders import Batch, Order, OrderList, PlacedBatch, Result
from backend.api.wire.receipts import Receipt
from backend.api.wire.workloads import Workload
from backend.domain.access import Role
from backend.domain.ids import OrderId
from backend.services import orders, receipts

router = APIRouter(prefix="/api/v1/orders", tags=["orders"])


@router.post("", status_code=201)
def place_order(body: Workload, caller: Anyone, once: Once, market: Market, now: Now) -> Order:
    """Place one order."""
    return Order.of(orders.place_workload(market.uow(), now, caller, body.request(), once).orders[0])


@router.post(":batch", status_code=201)
def place_orders(body: Batch, caller: Anyone, once: Once, market: Market, now: Now) -> PlacedBatch:
    """Place up to 1,000 orders in one transaction; a refusal of one leaves the others alone."""
    return PlacedBatch.of(orders.place_orders(market.uow(), now, caller, body.requests(), once))


@router.get("")
def list_orders(
    caller: Anyone,
    market: Market,
    state: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=orders.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> OrderList:
    """The caller's orders, newest first; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    found = orders.list_orders(market.uow(), account, state, limit, OrderId(before) if before else None)
    following = found[-1].id if len(found) == limit else None
    return OrderList(orders=[Order.of(order) for order in found], next_before=following)


@router.get("/{order_id}")
def show_order(order_id: UUID, caller: Anyone, market: Market) -> Order:
    """One order."""
    return Order.of(orders.show_order(market.uow(), OrderId(order_id), caller))


@router.post("/{order_id}/cancel")
def cancel_order(order_id: UUID, caller: Anyone, market: Market, now: Now) -> Order:
    """Stop an order: what ran is charged, the rest of its hold is released."""
    return Order.of(orders.cancel_order(market.uow(), now, OrderId(order_id), caller))


@router.get("/{order_id}/receipt")
def show_receipt(order_id: UUID, caller: Anyone, market: Market) -> Receipt:
    """What an order cost, computed from the transfers of the ledger."""
    return Receipt.of(receipts.receipt(market.uow(), OrderId(order_id), caller))


@router.get("/{order_id}/results")
def show_results(order_id: UUID, caller: Anyone, market: Market) -> list[Result]:
    """The outputs of an order so far, one per request."""
    return [Result.of(item) for item in receipts.results(market.uow(), OrderId(order_id), caller)]
