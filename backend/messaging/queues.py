"""Names of queues and tasks, which task travels where, and the one order of urgency that all of them share."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from uuid import UUID

from backend.domain.fleet import AgentKind
from backend.domain.tiers import TierName

RUN_UNIT = "swarmex.run_unit"
"""Task that tells a consumer to claim and run the unit whose id is its only argument."""

MESSAGE_VERSION = 1
VERSION_HEADER = "swarmex_version"
TRACE_HEADER = "traceparent"

_NODE, _POOL, _KIND = "node.", "pool.", "kind."


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
    return f"{_NODE}{node_id}"


def pool_queue(name: str) -> str:
    """Queue shared by the agents that serve the nodes of one pool."""
    return f"{_POOL}{name}"


def kind_queue(kind: AgentKind) -> str:
    """Queue shared by all agents of a kind, for what any of them may do."""
    return f"{_KIND}{kind}"


def is_queue(name: str) -> bool:
    """Whether messages of ours may be in a queue of that name."""
    return any(name.startswith(prefix) and name != prefix for prefix in (_NODE, _POOL, _KIND))


TASK_KINDS: Mapping[str, AgentKind] = MappingProxyType({RUN_UNIT: AgentKind.INFERENCE})
"""Every task, and the kind of agent that knows it."""


def route(
    name: str, _args: object, _kwargs: object, options: Mapping[str, object], **_more: object
) -> dict[str, object] | None:
    """Celery's question where a task goes: where its sender says, else to any agent of its kind.

    Raises LookupError for a task that no agent knows: it would wait for ever in a queue that nobody looks at.
    """
    if options.get("queue"):
        return None
    if name not in TASK_KINDS:
        raise LookupError(f"no agent knows the task {name}")
    return {"queue": kind_queue(TASK_KINDS[name])}
