"""Names of queues and tasks, and the one order of urgency that all of them share."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from uuid import UUID

from backend.domain.tiers import TierName

RUN_UNIT = "swarmex.run_unit"
"""Task that tells a consumer to claim and run the unit whose id is its only argument."""


class Priority(IntEnum):
    """Urgency of a message. On Redis **0 is most urgent**, the reverse of AMQP. Values are queue steps."""

    URGENT = 0
    HIGH = 3
    NORMAL = 6
    LOW = 9


TIER_PRIORITY: Mapping[str, Priority] = MappingProxyType(
    {
        TierName.SMALL: Priority.LOW,
        TierName.MEDIUM: Priority.NORMAL,
        TierName.LARGE: Priority.HIGH,
        TierName.ENTERPRISE: Priority.URGENT,
    }
)


def node_queue(node_id: UUID) -> str:
    """Queue of a node that has an agent of its own."""
    return f"node.{node_id}"


def pool_queue(name: str) -> str:
    """Queue shared by the agents that serve the nodes of one pool."""
    return f"pool.{name}"
