"""How an executor gets its work and gives it back: the one port, and its direct adapter.

The direct adapter is for the operator's own nodes: a database role that may execute these functions and
nothing else. A provider's machine gets another adapter, over HTTPS.
"""

from collections.abc import Sequence
from typing import Protocol

from backend.domain.events import Event, Topic
from backend.domain.ids import AgentId, ItemId, ModelId, UnitId
from backend.domain.peers import Peer
from backend.domain.sealing_keys import HeldKey, KeyStanding
from backend.domain.work import AgentBeat, BeatAnswer, ClaimedItem, ItemFailure, ItemResult, ModelRef
from backend.messaging.bus import Bus
from backend.storage.node_database import NodeDatabase


class WorkPort(Protocol):
    """What the coordinator offers to one executor. Every method may raise when the coordinator is away."""

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        """Give a sign of life; the first one registers the agent."""
        ...

    def stopped(self, agent_id: AgentId) -> None:
        """Say that the agent has ended on purpose."""
        ...

    def claim(self, unit_id: UnitId) -> list[ClaimedItem]:
        """Items of the unit that nobody else holds, for CLAIM_S from now; none if there are none left."""
        ...

    def extend(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Keep items, given with their fences, for another CLAIM_S; returns those that are still ours."""
        ...

    def commit(self, results: Sequence[ItemResult]) -> set[ItemId]:
        """Record results; those that counted. A stale fence is void."""
        ...

    def fail(self, failures: Sequence[ItemFailure]) -> set[ItemId]:
        """Give back items that could not be run, to be tried elsewhere or buried; those that counted."""
        ...

    def models(self) -> list[ModelRef]:
        """Every registered model."""
        ...


class DirectWorkPort:
    """The port on the node's own database role; it tells the bus, since the role's functions cannot."""

    def __init__(self, database: NodeDatabase, agent_id: AgentId, bus: Bus) -> None:
        self._database = database
        self._agent_id = agent_id
        self._bus = bus

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        return self._database.agent_beat(beat)

    def stopped(self, agent_id: AgentId) -> None:
        self._database.agent_stop(agent_id)

    def claim(self, unit_id: UnitId) -> list[ClaimedItem]:
        return self._database.claim(self._agent_id, unit_id)

    def extend(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        return self._database.beat(self._agent_id, held)

    def commit(self, results: Sequence[ItemResult]) -> set[ItemId]:
        committed = self._database.commit(self._agent_id, results)
        if committed:
            self._bus.publish([Event(Topic.WORK_COMMITTED)])
        return committed

    def fail(self, failures: Sequence[ItemFailure]) -> set[ItemId]:
        failed = self._database.fail(self._agent_id, failures)
        if failed:
            self._bus.publish([Event(Topic.UNITS_READY)])  # to be sent again, elsewhere
        return failed

    def models(self) -> list[ModelRef]:
        return self._database.models()

    def show_keys(self, held: Sequence[HeldKey]) -> list[KeyStanding]:
        """Say what we have of our nodes' sealing keys; how each stands, and the challenges to answer."""
        return self._database.show_keys(self._agent_id, held)

    def peers(self, model_id: ModelId) -> list[Peer]:
        """Who of the operator's nodes in this region is likely to have the model's file."""
        return self._database.peers(self._agent_id, model_id)
