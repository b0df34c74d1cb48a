"""Messages that nobody can read go to the dead letters; a coordinator that is away costs the letter, not the worker."""

import hashlib
from typing import Protocol

import structlog

from agents.task_metrics import TaskMetrics
from backend.domain.dead_letters import DeadMessage, DeathReason
from backend.domain.ids import AgentId, UnitId

log = structlog.get_logger(__name__)


class Graveyard(Protocol):
    """Where letters are kept; may raise when it is away."""

    def bury(self, agent_id: AgentId, queue: str, message: DeadMessage) -> bool:
        """Record it; False if it is no dead message after all, or there are too many."""
        ...


class Burials:
    """Used by the thread of one consumer."""

    def __init__(self, graveyard: Graveyard, agent_id: AgentId, metrics: TaskMetrics) -> None:
        self._graveyard = graveyard
        self._agent_id = agent_id
        self._metrics = metrics

    def refuse(self, queue: str, message: DeadMessage) -> None:
        """Bury a message that was refused before it became a task."""
        recorded = self._record(queue, message)
        self._tell(queue, message, recorded)

    def unknown(self, queue: str, unit_id: UnitId) -> bool:
        """Bury the message of a unit that gave nothing, if there is no such unit; whether it was so."""
        name = str(unit_id)
        digest = hashlib.sha256(name.encode()).hexdigest()
        error = f"no unit {name}"
        message = DeadMessage(DeathReason.UNKNOWN_UNIT, error, len(name), digest, name, unit_id)
        recorded = self._record(queue, message)
        if recorded:
            self._tell(queue, message, recorded)
        return recorded

    def _record(self, queue: str, message: DeadMessage) -> bool:
        try:
            return self._graveyard.bury(self._agent_id, queue, message)
        except Exception as error:  # of any layer below; the worker must live on
            log.warning("message.not_buried", queue=queue, digest=message.digest, error=repr(error))
            return False

    def _tell(self, queue: str, message: DeadMessage, recorded: bool) -> None:
        self._metrics.refused(message.reason)
        log.warning(
            "message.refused",
            queue=queue,
            reason=str(message.reason),
            error=message.error,
            size_bytes=message.size_bytes,
            digest=message.digest,
            recorded=recorded,
        )
