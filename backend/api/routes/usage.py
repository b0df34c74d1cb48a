"""Usage: reported by other systems as CloudEvents, seen by whoever pays for it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.security import Admin, Anyone, account_of
from backend.api.wire.base import Text
from backend.api.wire.cloudevents import REQUEST_BODY, Events
from backend.api.wire.metering import Ingested, Usage, UsageList, Void
from backend.domain.access import Role
from backend.domain.ids import UsageId
from backend.services import metering, rating

router = APIRouter(prefix="/api/v1/usage", tags=["usage"])


@router.post("", openapi_extra=REQUEST_BODY)
def report_usage(caller: Admin, events: Events, market: Market, now: Now) -> Ingested:
    """Bill CloudEvents, once per source and id: a batch with an answer each, a single one refused as requests are."""
    outcomes = metering.ingest(market.uow(), now, caller, events.documents())
    if not events.is_batch and outcomes[0].refusal:
        raise outcomes[0].refusal
    return Ingested.of(outcomes)


@router.get("")
def list_usage(
    caller: Anyone,
    market: Market,
    account: UUID | None = None,
    meter: Text | None = None,
    state: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=metering.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> UsageList:
    """The caller's usage, received last first; to admins, everybody's or one account's."""
    owner = None if caller.role is Role.ADMIN and account is None else account_of(caller, account)
    found = metering.list_usage(market.uow(), owner, meter, state, limit, UsageId(before) if before else None)
    following = found[-1].id if len(found) == limit else None
    return UsageList(usage=[Usage.of(usage) for usage in found], next_before=following)


@router.get("/{usage_id}")
def show_usage(usage_id: UUID, caller: Anyone, market: Market) -> Usage:
    """One event's usage."""
    return Usage.of(metering.show_usage(market.uow(), UsageId(usage_id), caller))


@router.post("/{usage_id}/void")
def void_usage(usage_id: UUID, body: Void, caller: Admin, market: Market, now: Now) -> Usage:
    """Take usage back that was reported by mistake; what was charged is given back, once."""
    usage = UsageId(usage_id)
    return Usage.of(rating.take_back(market.uow(), now, caller, usage, body.reason, body.from_fund))
