"""Agents of the operator's own that work on the database directly, through the services."""

from agents.base import Agent, Identity
from backend.bootstrap import Swarmex, utc_now
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat, BeatAnswer
from backend.services import fleet


class DatabaseRegistry:
    """The registry of agents, as the fleet's service keeps it."""

    def __init__(self, app: Swarmex) -> None:
        self._app = app

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        return fleet.beat(self._app.uow(), utc_now(), beat)

    def stopped(self, agent_id: AgentId) -> None:
        fleet.stopped(self._app.uow(), utc_now(), agent_id)


class DirectAgent(Agent):
    """An agent with units of work of its own."""

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, DatabaseRegistry(app), app.bus)
        self.app = app
        self.uow = app.uow
