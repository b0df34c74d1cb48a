"""Health: alive without asking anybody; ready when the coordinator's database answers in time."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response

from backend.api.dependencies import gateway_of
from backend.api.wire.base import Answer
from backend.gateway.gateway import Gateway

router = APIRouter(prefix="/health", tags=["health"])


class Live(Answer):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(Answer):
    """What answers in time. Without Redis the market works on, slower: `degraded`, but ready."""

    status: Literal["ready", "degraded", "unavailable"]
    database: bool
    redis: bool


@router.get("/live")
async def live() -> Live:
    """Whether the process answers at all."""
    return Live()


@router.get("/ready", responses={503: {"model": Ready, "description": "The database does not answer."}})
async def ready(gateway: Annotated[Gateway, Depends(gateway_of)], response: Response) -> Ready:
    """Whether requests can be served: the database must answer, Redis is only a matter of speed."""
    database, redis = await gateway.probes.both()
    if not database:
        response.status_code = 503
        return Ready(status="unavailable", database=database, redis=redis)
    return Ready(status="ready" if redis else "degraded", database=database, redis=redis)
