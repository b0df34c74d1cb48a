"""A deployment on this machine: starts the servers and the manager that are missing, stops what it started."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backend.cli import processes, servers
from backend.cli.signals import uninterrupted
from backend.domain.errors import Unavailable
from backend.domain.fleet import AgentKind, AgentState, FleetSpec, missing_members
from backend.domain.work import AGENT_LOST_S

if TYPE_CHECKING:
    from backend.bootstrap import Settings, Swarmex
    from backend.storage.agents import AgentStatus

READY_TIMEOUT_S = 180.0  # a small, busy machine takes a minute to start seven processes
ANSWER_TIMEOUT_S = 2.0
POLL_S = 0.1
MANAGER_STOP_S = 35.0  # its own limit is three phases of 11 s
MEMBER_STOP_S = 10.0
LOG_TAIL_LINES = 5

Progress = Callable[[str], None]


class Deployment:
    """What runs in one data folder, as far as this process is concerned."""

    def __init__(self, settings: "Settings", environment: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self.folder = settings.folder
        self._environment = environment or {}
        self._started_servers = False
        self._started_manager: subprocess.Popen[bytes] | None = None

    @property
    def manager_log(self) -> Path:
        """Where the manager writes; its members' logs are beside it."""
        return self.folder / "logs" / "manager.log"

    @property
    def api_address(self) -> Path:
        """A file that the API keeps while it answers: its URL."""
        return self.folder / "api.url"

    def start_servers(self) -> "Swarmex":
        """The wired deployment; servers are started and the schema brought up to date as needed."""
        with uninterrupted():
            market, self._started_servers = servers.start(self.settings)
        return market

    def start_manager(self, market: "Swarmex") -> bool:
        """Start the manager in the background unless one lives; returns whether it did.

        Raises Unavailable(`no_node_database_url`) when there is no way for its nodes to reach the database.
        """
        if processes.manager_of(self.folder) is not None:
            return False
        market.node_database_url()  # better told here than in the manager's log
        self.manager_log.parent.mkdir(parents=True, exist_ok=True)
        if not processes.members_of(self.folder):
            for address in (self.api_address, self.folder / "grpc.address"):
                address.unlink(missing_ok=True)  # of a server that was killed
        own = {processes.FOLDER: str(self.folder), **self._environment}
        with uninterrupted(), self.manager_log.open("ab") as log:
            self._started_manager = subprocess.Popen(
                [sys.executable, *processes.MANAGER],
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return True

    def await_ready(self, market: "Swarmex", fleet: Sequence[FleetSpec], tell: Progress = lambda _: None) -> str:
        """The API's URL, once it answers and every member of the fleet lives; raises Unavailable(`not_ready`)."""
        wanted = sum(spec.replicas for spec in fleet)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            missing = missing_members(fleet, living(market))
            url = self.api_address.read_text().strip() if self.api_address.exists() else ""
            if not missing and url and answers(url):
                return url
            tell(f"{wanted - len(missing)} of {wanted}")
            if self._started_manager and self._started_manager.poll() is not None:
                raise self._not_ready("the manager ended", self.manager_log)
            if time.monotonic() > deadline:
                late = min(missing, default="api-0")
                log = self.manager_log.with_name(f"{late}.log")
                raise self._not_ready(f"{late} is not up", log if log.exists() else self.manager_log)
            time.sleep(POLL_S)

    def stop_manager(self) -> bool:
        """Stop the manager and its agents if this process started it; returns whether it did."""
        with uninterrupted():
            return self._stop_manager()

    def stop(self) -> None:
        """Stop what this process started, the agents before the servers; signals wait until that is done."""
        with uninterrupted():
            self._stop_manager()
            if self._started_servers:
                servers.stop(self.settings)
                self._started_servers = False

    def _stop_manager(self) -> bool:
        if self._started_manager is None:
            return False
        stop_agents(self.folder)
        self._started_manager.wait()
        self._started_manager = None
        return True

    def _not_ready(self, what: str, log: Path) -> Unavailable:
        tail = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
        return Unavailable("\n  ".join([f"{what}; the end of {log}:", *(tail or ["it is empty"])]), code="not_ready")


def stop_agents(folder: Path) -> int:
    """Stop the manager of a data folder, which stops its agents, and agents that it left; returns how many ran."""
    manager = processes.manager_of(folder)
    members = processes.members_of(folder)
    if manager is not None:
        processes.end([manager], MANAGER_STOP_S)
    processes.end(processes.members_of(folder), MEMBER_STOP_S)
    return len(members) + (manager is not None)


def living(market: "Swarmex") -> set[str]:
    """Names of the agents that have shown themselves lately."""
    return {agent.name for agent in _living(market)}


def endpoints(market: "Swarmex", kind: AgentKind) -> list[str]:
    """Where living agents of a kind answer."""
    return sorted(agent.endpoint for agent in _living(market) if agent.kind == kind and agent.endpoint)


def _living(market: "Swarmex") -> "list[AgentStatus]":
    from backend import bootstrap
    from backend.services import fleet

    now = bootstrap.utc_now()
    return [
        agent
        for agent in fleet.list_agents(market.uow())
        if agent.state is AgentState.UP and (now - agent.beat_at).total_seconds() < AGENT_LOST_S
    ]


def answers(url: str) -> bool:
    """Whether an API of this machine is there and ready to serve."""
    # Not httpx, which takes longer to be imported than all of this otherwise takes.
    connection = HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
