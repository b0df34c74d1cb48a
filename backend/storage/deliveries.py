"""What the operator's webhook is owed: written in the transaction that changes an incident."""

from dataclasses import dataclass, replace
from typing import Any

from backend.domain.ids import IncidentId
from backend.domain.incidents import IncidentEvent
from backend.storage.owed import Owed, OwedRepository
from backend.storage.tables import IncidentDeliveryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Owed):
    """One POST about an incident."""

    incident_id: IncidentId
    event: IncidentEvent


class DeliveryRepository(OwedRepository[Delivery]):
    """Deliveries by incident."""

    table = IncidentDeliveryRow
    record = Delivery

    def of_incident(self, incident_id: IncidentId) -> list[Delivery]:
        """What was, or is, owed about an incident, the oldest first."""
        return self._about("incident_id = :id", {"id": incident_id})

    def _of(self, row: Any) -> Delivery:
        return replace(super()._of(row), event=IncidentEvent(row.event))
