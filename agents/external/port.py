"""The work port of a node that is a server: the coordinator's own services, since this process is the operator's."""

import time
from collections.abc import Iterable, Sequence
from threading import Lock
from uuid import UUID

import structlog

from agents.engines.remote import NOT_RUN
from backend.bootstrap import Swarmex, utc_now
from backend.domain.ids import AgentId, ItemId, KeyId, UnitId
from backend.domain.joining import NodePrincipal
from backend.domain.work import AgentBeat, BeatAnswer, ClaimedItem, ItemFailure, ItemResult, ModelRef
from backend.services import fleet, node_work
from backend.storage.external_nodes import ExternalServer

SPARED_MAX = 60  # times that an item comes back without an attempt: half a minute at least
SPARED_ITEMS_MAX = 10_000  # that are remembered
AWAY_S = 0.5  # what the server did not take is not handed back, and so claimed again, any quicker

log = structlog.get_logger(__name__)


class Spared:
    """How often each item came back without an attempt; safe for several threads."""

    def __init__(self) -> None:
        self._times: dict[ItemId, int] = {}  # what was not spared for longest is first, and forgotten first
        self._lock = Lock()

    def may_be(self, item_id: ItemId) -> bool:
        """Whether it may be spared once more."""
        with self._lock:
            return self._times.get(item_id, 0) < SPARED_MAX

    def count(self, items: Iterable[ItemId]) -> None:
        """These were spared."""
        with self._lock:
            for item_id in items:
                self._times[item_id] = self._times.pop(item_id, 0) + 1
            while len(self._times) > SPARED_ITEMS_MAX:
                del self._times[next(iter(self._times))]

    def forget(self, items: Iterable[ItemId]) -> None:
        """These ran, or have failed."""
        with self._lock:
            for item_id in items:
                self._times.pop(item_id, None)


class ServerPort:
    """Acts for one node, as one agent; safe for several threads."""

    def __init__(self, app: Swarmex, server: ExternalServer, agent_id: AgentId) -> None:
        self._uow = app.uow
        no_key = KeyId(UUID(int=0))  # nobody shows one: this is not asked from outside
        self._node = NodePrincipal(no_key, server.account_id, server.node_id, server.queue)
        self._agent_id = agent_id
        self._spared = Spared()

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
        counted = node_work.commit(self._uow(), utc_now(), self._node, self._agent_id, results)
        self._spared.forget(result.item_id for result in results)
        return counted

    def fail(self, failures: Sequence[ItemFailure]) -> set[ItemId]:
        """Give back items that could not be run; one that the server never got has had no attempt.

        Not for ever: a server that is always ready and never takes anything would keep it from running elsewhere.
        """
        spared, failed = [], []
        for one in failures:
            if one.error.startswith(NOT_RUN) and self._spared.may_be(one.item_id):
                spared.append((one.item_id, one.fence))
            else:
                failed.append(one)
        counted: set[ItemId] = set()
        if failed:
            counted |= node_work.fail(self._uow(), self._node, self._agent_id, failed)
            self._spared.forget(one.item_id for one in failed)
        if spared:
            time.sleep(AWAY_S)
            released = self.release(spared)
            self._spared.count(released)
            counted |= released
            log.warning("items.handed_back", node=str(self._node.node_id), items=len(spared))
        return counted

    def release(self, held: Sequence[tuple[ItemId, int]]) -> set[ItemId]:
        """Give back items that were not run; those that counted."""
        return node_work.release(self._uow(), self._node, self._agent_id, held)

    def models(self) -> list[ModelRef]:
        """Every registered model."""
        return [model.ref for model in node_work.list_models(self._uow())]
