"""The work port of a node that is a server: the coordinator's own services, since this process is the operator's."""

from collections.abc import Sequence
from uuid import UUID

from backend.bootstrap import Swarmex, utc_now
from backend.domain.ids import AgentId, ItemId, KeyId, UnitId
from backend.domain.joining import NodePrincipal
from backend.domain.work import AgentBeat, BeatAnswer, ClaimedItem, ItemFailure, ItemResult, ModelRef
from backend.services import fleet, node_work
from backend.storage.external_nodes import ExternalServer


class ServerPort:
    """Acts for one node, as one agent; safe for several threads."""

    def __init__(self, app: Swarmex, server: ExternalServer, agent_id: AgentId) -> None:
        self._uow = app.uow
        no_key = KeyId(UUID(int=0))  # nobody shows one: this is not asked from outside
        self._node = NodePrincipal(no_key, server.account_id, server.node_id, server.queue)
        self._agent_id = agent_id

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        """Give a sign of life."""
        return fleet.beat(self._uow(), utc_now(), beat)

    def stopped(self, agent_id: AgentId) -> None:
        """Say that nobody stands for the node any more."""
        fleet.stopped(self._uow(), utc_now(), agent_id)

    def units(self) -> list[UnitId]:
        """Units of which something waits to be claimed."""
        return node_work.units(self._uow(), self._node)

    def claim(self, unit_id: UnitId) -> list[ClaimedItem]:
        """Items of the unit that nobody else holds."""
        return node_work.claim(self._uow(), self._node, self._agent_id, unit_id)

    def extend(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Keep items for another CLAIM_S."""
        return node_work.extend(self._uow(), self._node, self._agent_id, held)

    def commit(self, results: Sequence[ItemResult]) -> set[ItemId]:
        """Record results; those that counted."""
        return node_work.commit(self._uow(), utc_now(), self._node, self._agent_id, results)

    def fail(self, failures: Sequence[ItemFailure]) -> set[ItemId]:
        """Give back items that could not be run."""
        return node_work.fail(self._uow(), self._node, self._agent_id, failures)

    def release(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Give back items that were not run; those that counted."""
        return node_work.release(self._uow(), self._node, self._agent_id, held)

    def models(self) -> list[ModelRef]:
        """Every registered model."""
        return [model.ref for model in node_work.list_models(self._uow())]
