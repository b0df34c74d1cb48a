"""Workloads: the one front door for every kind."""

from fastapi import APIRouter

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Anyone
from backend.api.wire.orders import PlacedWorkload
from backend.api.wire.workloads import Workload
from backend.services import orders

router = APIRouter(prefix="/api/v1/workloads", tags=["workloads"])


@router.post("", status_code=201)
def place_workload(body: Workload, caller: Anyone, once: Once, market: Market, now: Now) -> PlacedWorkload:
    """Place a workload: the quote that it was placed at and its orders, or the reason why not."""
    return PlacedWorkload.of(orders.place_workload(market.uow(), now, caller, body.request(), once))
