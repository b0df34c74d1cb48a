"""Incidents: what operators are alerted of."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now
from backend.api.security import Admin
from backend.api.wire.base import Text
from backend.api.wire.incidents import Incident, IncidentDetail, IncidentList
from backend.domain.ids import IncidentId
from backend.services import incidents

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"])


@router.get("")
def list_incidents(
    _: Admin,
    market: Market,
    state: Text | None = None,
    kind: Text | None = None,
    severity: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=incidents.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> IncidentList:
    """What went wrong with the market's own parts, newest first; for admins."""
    following = IncidentId(before) if before else None
    found = incidents.list_incidents(market.uow(), state, kind, severity, limit, following)
    next_before = found[-1].id if len(found) == limit else None
    return IncidentList(incidents=[Incident.of(incident) for incident in found], next_before=next_before)


@router.get("/{incident_id}")
def show_incident(incident_id: UUID, _: Admin, market: Market) -> IncidentDetail:
    """One incident, and what the webhook was told of it."""
    return IncidentDetail.of_shown(incidents.show_incident(market.uow(), IncidentId(incident_id)))


@router.post("/{incident_id}/ack")
def acknowledge(incident_id: UUID, caller: Admin, market: Market, now: Now) -> Incident:
    """Say that somebody looks into it; again, it stays as it is."""
    return Incident.of(incidents.acknowledge(market.uow(), now, caller, IncidentId(incident_id)))
