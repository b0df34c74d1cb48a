"""What webhooks are sent: one JSON form for every change of an incident."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from backend.domain.incidents import Incident, IncidentEvent

BODY_VERSION = 1


def body_of(incident: Incident, event: IncidentEvent) -> Mapping[str, object]:
    """A change of an incident, as JSON can say it: ids as text, times in ISO 8601 with their zone."""
    told = {name: _plain(value) for name, value in incident.document().items()}
    return {"version": BODY_VERSION, "event": str(event), **told}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
