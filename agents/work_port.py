"""How an executor gets its work and gives it back: the one port, and its direct adapter.

The direct adapter is for the operator's own nodes: a database role that may execute these functions and
nothing else. A provider's machine gets another adapter, over HTTPS.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from backend.domain.errors import Unavailable
from backend.domain.events import Event, Topic
from backend.domain.ids import AgentId, ItemId, ModelId, UnitId
from backend.domain.peers import Peer
from backend.domain.sealing_keys import HeldKey, KeyStanding
from backend.domain.work import AgentBeat, BeatAnswer, ClaimedItem, ItemFailure, ItemResult, ModelRef
from backend.messaging.bus import Bus
from backend.storage.node_database import NodeDatabase
from backend.storage.objects import ObjectStore


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

    def release(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Give back items that were not run, given with their fences, which is no attempt; those that counted."""
        ...

    def models(self) -> list[ModelRef]:
        """Every registered model."""
        ...


class FilePort(Protocol):
    """Where the weights of training items come from, and their updates go; not every port has one.

    Both methods may raise when the coordinator is away.
    """

    def get_weights(self, item: ClaimedItem, key: str, path: Path) -> None:
        """Write the weights at `key`, which an item begins with, to `path`; whoever calls compares their sum.

        Raises FileNotFoundError when there are none.
        """
        ...

    def put_update(self, item: ClaimedItem, key: str, path: Path) -> None:
        """Store the file at `path` as the update of an item, at `key`; the same again replaces it."""
        ...


class DirectWorkPort:
    """The port on the node's own database role; it tells the bus, since the role's functions cannot."""

    def __init__(self, database: NodeDatabase, agent_id: AgentId, bus: Bus, objects: ObjectStore | None = None) -> None:
        self._database = database
        self._agent_id = agent_id
        self._bus = bus
        self._objects = objects  # only training items need it

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

    def release(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        released = self._database.release(self._agent_id, held)
        if released:
            self._bus.publish([Event(Topic.UNITS_READY)])
        return released

    def models(self) -> list[ModelRef]:
        return self._database.models()

    def get_weights(self, item: ClaimedItem, key: str, path: Path) -> None:  # noqa: ARG002  the key says it all
        self._store().get_file(key, path)

    def put_update(self, item: ClaimedItem, key: str, path: Path) -> None:  # noqa: ARG002
        self._store().put_file(path, key, replace=True)

    def show_keys(self, held: Sequence[HeldKey]) -> list[KeyStanding]:
        """Say what we have of our nodes' sealing keys; how each stands, and the challenges to answer."""
        return self._database.show_keys(self._agent_id, held)

    def peers(self, model_id: ModelId) -> list[Peer]:
        """Who of the operator's nodes in this region is likely to have the model's file."""
        return self._database.peers(self._agent_id, model_id)

    def _store(self) -> ObjectStore:
        if self._objects is None:
            raise Unavailable("this agent has no object store", code="no_object_store", field="SWARMEX_OBJECTS_URL")
        return self._objects
