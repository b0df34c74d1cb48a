"""Health: alive without asking anybody; ready when the coordinator's database answers in time, and did lately."""

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
    """What answers in time. Without Redis the market works on, slower: `degraded`, but ready.

    `gateway` is whether what this process has cached (keys, models, limits) may be served by: only while it is fresh.
    """

    status: Literal["ready", "degraded", "unavailable"]
    database: bool
    redis: bool
    gateway: bool


@router.get("/live")
async def live() -> Live:
    """Whether the process answers at all."""
    return Live()


@router.get(
    "/ready", responses={503: {"model": Ready, "description": "The database does not answer, or has not for a while."}}
)
async def ready(gateway: Annotated[Gateway, Depends(gateway_of)], response: Response) -> Ready:
    """Whether requests can be served: the database must answer, Redis is only a matter of speed."""
    database, redis = await gateway.probes.both()
    fresh = gateway.changes.fresh
    response.status_code = 200 if database and fresh else 503
    status: Literal["ready", "degraded"] = "ready" if redis else "degraded"
    return Ready(status=status if database and fresh else "unavailable", database=database, redis=redis, gateway=fresh)
