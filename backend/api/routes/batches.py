"""Batches as OpenAI's clients know them, on this market."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Anyone
from backend.api.wire.base import Text
from backend.api.wire.batches import REFUSALS, Batch, BatchList, BatchRequest
from backend.bootstrap import Swarmex
from backend.domain.access import Role
from backend.services import batches
from backend.services.batch_progress import waits_for
from backend.services.batch_telling import webhook_secret
from backend.services.batches import BatchView

router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=REFUSALS)


@router.post("")
def create_batch(body: BatchRequest, caller: Anyone, once: Once, request: Request, market: Market, now: Now) -> Batch:
    """Check a file of requests and run them, within the completion window; only what ran is charged."""
    return _told(request, market, now, [batches.create_batch(market.uow(), now, caller, body.wish(), once)])[0]


@router.get("")
def list_batches(
    caller: Anyone,
    request: Request,
    market: Market,
    now: Now,
    limit: Annotated[int, Query(ge=1, le=batches.LIST_MAX)] = 20,
    after: Text | None = None,
) -> BatchList:
    """The caller's batches, newest first; to admins, everybody's."""
    account = None if caller.role is Role.ADMIN else caller.account_id
    page = batches.list_batches(market.uow(), account, limit, after)
    return BatchList.of(page, _told(request, market, now, page.batches))


@router.get("/{batch_id}")
def show_batch(batch_id: Text, caller: Anyone, request: Request, market: Market, now: Now) -> Batch:
    """One batch."""
    return _told(request, market, now, [batches.show_batch(market.uow(), batch_id, caller)])[0]


@router.post("/{batch_id}/cancel")
def cancel_batch(batch_id: Text, caller: Anyone, request: Request, market: Market, now: Now) -> Batch:
    """Let a batch end: what is in flight ends, and only what ran is charged."""
    return _told(request, market, now, [batches.cancel_batch(market.uow(), now, batch_id, caller)])[0]


def _told(request: Request, market: Swarmex, now: datetime, views: Sequence[BatchView]) -> list[Batch]:
    secret, url = market.link_secret, str(request.base_url)
    waits = waits_for(market.uow(), [view.batch for view in views])
    return [
        Batch.of(view, waits.get(view.batch.id), now, url, secret, webhook_secret(secret, view.batch.account_id))
        for view in views
    ]
