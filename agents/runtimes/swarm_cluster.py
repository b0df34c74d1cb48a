"""Members as services of a Docker Swarm cluster: for a fleet that has outgrown one machine.

One service with one task for each member, so that each can be asked, ended and found by itself; Swarm chooses the
machine, by free resources and by the placement constraints. It starts nothing again: the manager decides. What is
replaced in its place Swarm watches, and rolls back. Objects, PostgreSQL and Redis have to be where every machine
reaches them.
"""

import builtins
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from docker.errors import APIError, NotFound
from docker.types import (
    ContainerSpec,
    DriverConfig,
    EndpointSpec,
    Mount,
    Resources,
    RestartPolicy,
    RollbackConfig,
    ServiceMode,
    TaskTemplate,
    UpdateConfig,
)

from agents.runtimes import container, inside
from agents.runtimes.base import LOG_LINES_MAX, Member, Running
from agents.runtimes.container import FLEET, MEMBER
from agents.runtimes.engine import connect, engine_errors, if_there, no_image
from agents.runtimes.environment import Deployment, from_label
from agents.runtimes.files import Files
from agents.runtimes.logs import Logs
from agents.runtimes.network import FleetNetwork
from agents.runtimes.published import published_address
from agents.runtimes.swarm_services import TURN, handle_of, has_ended, is_over, running_of, seconds, service_of
from backend.domain.errors import Unavailable
from backend.domain.health import Health

STOP_GRACE_S = 12  # after which Swarm kills by itself; the manager's own patience is shorter
LAST_LINES = 200
TIDY_MAX = 10
UPDATE_TRIES = 5
OUT_OF_SEQUENCE = "out of sequence"
# One at a time, the old one first, since two with one name never run at once; who is not well soon was a mistake.
_WATCHED = {"parallelism": 1, "order": "stop-first", "monitor": 5 * container.S}
UPDATE = UpdateConfig(failure_action="rollback", max_failure_ratio=0.0, **_WATCHED)
ROLLBACK = RollbackConfig(failure_action="pause", max_failure_ratio=0.0, **_WATCHED)

log = structlog.get_logger(__name__)


class SwarmRuntime:
    """Services of `image` on the engine's cluster; `placement` holds constraints such as `node.labels.gpu==true`."""

    def __init__(
        self,
        deployment: Deployment,
        image: str,
        own: Mapping[str, str],
        placement: tuple[str, ...] = (),
    ) -> None:
        self._deployment = deployment
        self._image = image
        self._own = own
        self._placement = placement
        self._engine: Any = connect()
        self._network = FleetNetwork(self._engine, deployment.fleet, driver="overlay")
        self._files = Files(deployment, own)
        self._logs = Logs(deployment.folder / "logs")
        self._require_manager()

    replaces = True

    def list(self) -> builtins.list[Running]:
        found = [running_of(service, task) for service, task in self._seen() if not is_over(service, task)]
        return [running for running in found if running is not None]

    def start(self, member: Member) -> Running:
        image = member.image or self._image
        self._require_image(image)
        inside.require_servers(self._deployment, self._network.host_address())
        self._files.prepare(member)
        address = published_address(member.kind, self._own)
        with engine_errors(f"start {member.label}"):
            made = self._engine.create_service(
                self._task(member, image, address[1] if address else 0),
                name=f"swarmex-{self._deployment.fleet[:8]}-{_plain(member.label)}-{secrets.token_hex(3)}",
                labels=self._labels(member),
                mode=ServiceMode("replicated", replicas=1),
                networks=[self._network.ensure()],
                endpoint_spec=_endpoint(address),
                update_config=UPDATE,
                rollback_config=ROLLBACK,
            )["ID"]
            service = self._engine.inspect_service(made)
        if address:
            self._files.link_address(member)
        log.info("member.started", member=member.label, kind=member.kind, service=made)
        return Running(member, handle_of(service), seconds(service["CreatedAt"]), Health.STARTING)

    def ask_to_stop(self, running: Running) -> None:
        with if_there():
            service = self._engine.inspect_service(service_of(running))
            if service["Spec"]["Mode"]["Replicated"]["Replicas"] != 0:
                self._update(service, mode=ServiceMode("replicated", replicas=0))

    def replace(self, running: Running, member: Member) -> Running:
        image = member.image or self._image
        self._require_image(image)
        self._files.prepare(member)
        with engine_errors(f"replace {running.member.label}"):
            service = self._engine.inspect_service(service_of(running))
            [port, *_] = service["Spec"]["EndpointSpec"].get("Ports") or [{"TargetPort": 0}]
            task = self._task(member, image, port["TargetPort"])
            self._update(service, task_template=task, labels=self._labels(member))
            service = self._engine.inspect_service(service["ID"])
        log.info("member.replaced", member=member.label, kind=member.kind, service=service["ID"])
        return Running(member, handle_of(service), seconds(service["CreatedAt"]), Health.STARTING)

    def kill(self, running: Running) -> None:
        task = self._tasks().get(service_of(running))
        with if_there():
            self._engine.remove_service(service_of(running))
        # Swarm itself would be patient; a container on another machine ends after STOP_GRACE_S.
        if task is not None and (here := task["Status"].get("ContainerStatus", {}).get("ContainerID")):
            with if_there():
                self._engine.kill(here, "SIGKILL")

    def logs(self, running: Running, lines: int) -> Iterator[str]:
        wanted = min(lines, LOG_LINES_MAX)
        with engine_errors("show a member's output"):
            try:
                return iter(self._output(service_of(running), wanted))
            except NotFound:
                return self._logs.tail(running.member.label, wanted)

    def tidy(self) -> None:
        seen = self._seen()
        over = [service for service, task in seen if is_over(service, task)][:TIDY_MAX]
        for service in over:
            self._remove(service)
        if len(over) == len(seen):
            self._network.remove()

    def _update(self, service: Mapping[str, Any], **changes: Any) -> None:
        """Change a service; if Swarm has written to it in between, which it does as it rolls, it is read again."""
        for left in reversed(range(UPDATE_TRIES)):
            try:
                self._engine.update_service(
                    service["ID"], version=service["Version"]["Index"], fetch_current_spec=True, **changes
                )
                return
            except APIError as error:
                if not left or OUT_OF_SEQUENCE not in str(error.explanation):
                    raise
            service = self._engine.inspect_service(service["ID"])

    def _labels(self, member: Member) -> dict[str, str]:
        """A service's labels, of another turn each time."""
        return container.labels_of(member, self._deployment.fleet) | {TURN: secrets.token_hex(3)}

    def _remove(self, service: Mapping[str, Any]) -> None:
        """Delete a service whose task has ended; its last lines stay, where the cluster still has them."""
        member = from_label(service["Spec"]["Labels"].get(MEMBER, ""))
        if member is not None:
            with if_there():
                self._logs.keep(member.label, self._output(service["ID"], LAST_LINES))
            log.info("member.ended", member=member.label, service=service["ID"])
        with if_there():
            self._engine.remove_service(service["ID"])

    def _output(self, service: str, lines: int) -> builtins.list[str]:
        pieces = self._engine.service_logs(service, stdout=True, stderr=True, tail=lines)
        text = b"".join(pieces if not isinstance(pieces, bytes) else [pieces])
        return text.decode(errors="replace").splitlines()

    def _seen(self) -> builtins.list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
        """This fleet's services with their tasks. These are asked after those: a service that was rolled back since
        then is still said to roll, while a task of before would make one that was rolled back look dead.
        """
        services = self._services()
        tasks = self._tasks()
        return [(service, tasks.get(service["ID"])) for service in services]

    def _services(self) -> builtins.list[Mapping[str, Any]]:
        """This fleet's services."""
        with engine_errors("list services"):
            found: builtins.list[Mapping[str, Any]] = self._engine.services(filters=self._ours())
        return found

    def _tasks(self) -> dict[str, Mapping[str, Any]]:
        """The task of each service, by the service's id: the one that lives, else the last one."""
        with engine_errors("list tasks"):
            tasks = self._engine.tasks(filters=self._ours())
        return {one["ServiceID"]: one for one in sorted(tasks, key=lambda one: (not has_ended(one), one["CreatedAt"]))}

    def _ours(self) -> dict[str, str]:
        return {"label": f"{FLEET}={self._deployment.fleet}"}

    def _require_manager(self) -> None:
        with engine_errors("show its cluster"):
            if not self._engine.info()["Swarm"].get("ControlAvailable"):
                raise Unavailable(
                    "this Docker engine manages no Swarm cluster",
                    code="no_cluster",
                    field="SWARMEX_RUNTIME",
                    accepted="docker or process; or `docker swarm init` first",
                )

    def _require_image(self, image: str) -> None:
        """Nothing if this machine or a registry has the image: Swarm would try in vain for ever."""
        try:
            with engine_errors("look for an image"):
                if not self._engine.images(image, quiet=True):
                    self._engine.inspect_distribution(image)
        except Unavailable as error:
            raise no_image(image) if error.code == "engine_refused" else error from None

    def _task(self, member: Member, image: str, port: int) -> TaskTemplate:
        limits = member.resources
        cpu = int(limits.cpu * container.S) if limits and limits.cpu else None
        memory = limits.memory_mb * container.MIB if limits and limits.memory_mb else None
        resources = Resources(cpu_limit=cpu, mem_limit=memory, cpu_reservation=cpu, mem_reservation=memory)
        resources["Limits"] = {**resources.get("Limits", {}), "Pids": container.PIDS_MAX}
        spec = ContainerSpec(
            image,
            args=container.command_of(member),
            env=inside.environment_inside(member, self._deployment, self._own, port),
            labels=container.labels_of(member, self._deployment.fleet),
            user=self._files.user,
            init=True,
            read_only=True,
            cap_drop=["ALL"],
            hosts={inside.HOST: self._network.host_address()},
            healthcheck=container.healthcheck(),
            stop_grace_period=STOP_GRACE_S * container.S,
            mounts=self._mounts(member),
        )
        spec["Privileges"] = {"NoNewPrivileges": True}  # engines before 23.0 do not know it; rights are dropped anyway
        return TaskTemplate(
            spec,
            resources=resources,
            restart_policy=RestartPolicy(condition="none"),
            placement={"Constraints": list(self._placement)} if self._placement else None,
            log_driver=DriverConfig("json-file", container.LOG_OPTIONS),
        )

    def _mounts(self, member: Member) -> builtins.list[Mount]:
        found = [Mount(str(to), str(of), type="bind", read_only=ro) for of, to, ro in self._files.mounts(member)]
        for place in self._files.temporary(member):
            size, mode = container.TEMPORARY_BYTES_MAX, 0o1777
            found.append(Mount(place, None, type="tmpfs", tmpfs_size=size, tmpfs_mode=mode))
        return found


def _endpoint(address: tuple[str, int] | None) -> EndpointSpec:
    """No virtual address: agents tell each other their own. An API is published on the machine that runs it."""
    if address is None:
        return EndpointSpec(mode="dnsrr")
    port = {"Protocol": "tcp", "TargetPort": address[1], "PublishedPort": address[1], "PublishMode": "host"}
    return EndpointSpec(mode="dnsrr", ports=[port])


def _plain(label: str) -> str:
    return label.replace(".", "-").replace("_", "-")[:40]
