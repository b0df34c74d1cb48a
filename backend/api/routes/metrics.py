"""Metrics, as Prometheus reads them.

With an admin's key (`authorization: credentials:` of a scrape): where few trade, what all have together tells what one
has.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from backend.api.dependencies import Now
from backend.api.exposition import Exposition
from backend.api.security import Admin

router = APIRouter(tags=["metrics"])


async def _exposition(request: Request) -> Exposition:
    exposition: Exposition = request.app.state.exposition
    return exposition


@router.get("/metrics", response_class=Response)
def metrics(_: Admin, exposition: Annotated[Exposition, Depends(_exposition)], now: Now) -> Response:
    """The market's figures in Prometheus' text format."""
    return Response(exposition.text(now), media_type=CONTENT_TYPE_LATEST)
