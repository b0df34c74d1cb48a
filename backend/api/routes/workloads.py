"""Workloads: the one front door for every kind."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Discriminator, Tag

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Anyone
from backend.api.validation import KIND
from backend.api.wire.orders import PlacedWorkload
from backend.api.wire.training import TrainingWorkload
from backend.api.wire.training_jobs import PlacedTraining
from backend.api.wire.workloads import Workload
from backend.services import orders, training_jobs

router = APIRouter(prefix="/api/v1/workloads", tags=["workloads"])

_ORDER, _TRAINING = f"{KIND}order", f"{KIND}training"


def _kind(body: Any) -> str:
    """Which of the two a body is to be read as: what has a `training` is meant to be training."""
    return _TRAINING if isinstance(body, dict) and "training" in body else _ORDER


AnyWorkload = Annotated[
    Annotated[Workload, Tag(_ORDER)] | Annotated[TrainingWorkload, Tag(_TRAINING)], Discriminator(_kind)
]


@router.post("", status_code=201)
def place_workload(
    body: AnyWorkload, caller: Anyone, once: Once, market: Market, now: Now
) -> PlacedWorkload | PlacedTraining:
    """Place a workload: the quote that it was placed at and its orders, or its job; or the reason why not."""
    if isinstance(body, Workload):
        return PlacedWorkload.of(orders.place_workload(market.uow(), now, caller, body.request(), once))
    return PlacedTraining.of(training_jobs.place_job(market.uow(), now, caller, body.spec(), once))
