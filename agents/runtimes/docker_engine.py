"""Members as containers of this machine's Docker engine, found by their labels.

No restart policy: the manager decides who is started again. Containers that have ended stay until `tidy` has kept
their last lines in `<data folder>/logs`.
"""

import builtins
import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import structlog
from docker.errors import NotFound
from docker.types import LogConfig, Mount

from agents.runtimes import container, inside
from agents.runtimes.base import LOG_LINES_MAX, Member, Running, StopsFirst
from agents.runtimes.container import FLEET, MEMBER
from agents.runtimes.engine import connect, engine_errors, if_there, require_image
from agents.runtimes.environment import Deployment, from_label
from agents.runtimes.files import Files
from agents.runtimes.logs import Logs
from agents.runtimes.network import FleetNetwork
from agents.runtimes.published import published_address

HERE = ("running", "paused", "restarting")
ENDED = ("exited", "dead")
START_MAX_S = 60.0  # what was made and is not started by then never will be
LAST_LINES = 200  # of a container that has ended
TIDY_MAX = 10  # containers at once; the next call goes on

log = structlog.get_logger(__name__)


class DockerRuntime(StopsFirst):
    """Containers of `image` in a network of the fleet's own; `own` is the manager's environment."""

    def __init__(self, deployment: Deployment, image: str, own: Mapping[str, str]) -> None:
        self._deployment = deployment
        self._image = image
        self._own = own
        self._engine: Any = connect()
        self._network = FleetNetwork(self._engine, deployment.fleet)
        self._files = Files(deployment, own)
        self._logs = Logs(deployment.folder / "logs")

    def list(self) -> builtins.list[Running]:
        found = [_running(facts) for facts in self._containers() if facts["State"] in HERE]
        return [running for running in found if running is not None]

    def start(self, member: Member) -> Running:
        image = member.image or self._image
        require_image(self._engine, image)
        inside.require_servers(self._deployment, self._network.host_address())
        self._files.prepare(member)
        address = published_address(member.kind, self._own)
        environment = inside.environment_inside(member, self._deployment, self._own, address[1] if address else 0)
        with engine_errors(f"start {member.label}"):
            made = self._engine.create_container(
                image,
                container.command_of(member),
                name=f"swarmex-{self._deployment.fleet[:8]}-{member.label}-{secrets.token_hex(3)}",
                hostname=member.label[:63].replace(".", "-").replace("_", "-"),
                user=self._files.user,
                environment=environment,
                labels=container.labels_of(member, self._deployment.fleet),
                ports=[address[1]] if address else None,
                healthcheck=container.healthcheck(),
                host_config=self._host_config(member, address),
            )["Id"]
            try:
                self._engine.start(made)
            except BaseException:
                self._engine.remove_container(made, force=True, v=True)
                raise
            facts = self._engine.inspect_container(made)
        if address:
            self._files.link_address(member)
        log.info("member.started", member=member.label, kind=member.kind, container=made[:12])
        return Running(member, made, _created_s(facts))

    def ask_to_stop(self, running: Running) -> None:
        with if_there():
            self._engine.kill(running.handle, "SIGTERM")

    def kill(self, running: Running) -> None:
        with if_there():
            self._engine.kill(running.handle, "SIGKILL")

    def logs(self, running: Running, lines: int) -> Iterator[str]:
        with engine_errors("show a member's output"):
            try:
                text: bytes = self._engine.logs(running.handle, tail=min(lines, LOG_LINES_MAX))
            except NotFound:
                return self._logs.tail(running.member.label, min(lines, LOG_LINES_MAX))
        return iter(text.decode(errors="replace").splitlines())

    def tidy(self) -> None:
        left = self._containers()
        over = [facts for facts in left if _is_over(facts)][:TIDY_MAX]
        for facts in over:
            self._remove(facts)
        if len(over) == len(left):
            self._network.remove()

    def _remove(self, facts: Mapping[str, Any]) -> None:
        """Delete a container that has ended; its last lines stay."""
        member = from_label(facts["Labels"].get(MEMBER, ""))
        if member is not None:
            text: bytes = b""
            with if_there():
                text = self._engine.logs(facts["Id"], tail=LAST_LINES)
            self._logs.keep(member.label, text.decode(errors="replace").splitlines())
            log.info("member.ended", member=member.label, container=facts["Id"][:12], status=facts["Status"])
        with if_there():
            self._engine.remove_container(facts["Id"], v=True)

    def _containers(self) -> builtins.list[Mapping[str, Any]]:
        """This fleet's containers, those that have ended as well; one call."""
        with engine_errors("list containers"):
            found: builtins.list[Mapping[str, Any]] = self._engine.containers(
                all=True, filters={"label": f"{FLEET}={self._deployment.fleet}"}
            )
        return found

    def _host_config(self, member: Member, address: tuple[str, int] | None) -> dict[str, Any]:
        limits = member.resources
        memory = limits.memory_mb * container.MIB if limits and limits.memory_mb else None
        config: dict[str, Any] = self._engine.create_host_config(
            init=True,  # a signal that comes before a process has its handlers ends it, which it would not as PID 1
            network_mode=self._network.ensure(),
            extra_hosts={inside.HOST: self._network.host_address()},
            port_bindings={address[1]: address} if address else None,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            tmpfs=self._files.temporary(member),
            mounts=[Mount(str(to), str(of), type="bind", read_only=ro) for of, to, ro in self._files.mounts(member)],
            nano_cpus=int(limits.cpu * container.S) if limits and limits.cpu else None,
            mem_limit=memory,
            memswap_limit=memory,
            pids_limit=container.PIDS_MAX,
            log_config=LogConfig(type=LogConfig.types.JSON, config=container.LOG_OPTIONS),
            restart_policy={"Name": "no"},
        )
        return config


def _running(facts: Mapping[str, Any]) -> Running | None:
    member = from_label(facts["Labels"].get(MEMBER, ""))
    if member is None:
        return None
    return Running(member, facts["Id"], float(facts["Created"]), container.health_in(facts["Status"]))


def _is_over(facts: Mapping[str, Any]) -> bool:
    """Whether a container has ended, or never began since its manager died before."""
    return facts["State"] in ENDED or (
        facts["State"] == "created" and time.time() - float(facts["Created"]) > START_MAX_S
    )


def _created_s(facts: Mapping[str, Any]) -> float:
    """Whole seconds since 1970, as the engine's list has them."""
    return float(int(datetime.fromisoformat(f"{facts['Created'][:19]}+00:00").timestamp()))
