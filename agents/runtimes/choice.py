"""Which runtime the settings ask for. Docker's library is imported only by whoever chose it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Literal

from agents.runtimes.base import Runtime
from agents.runtimes.environment import Deployment, environment_of
from agents.runtimes.process import ProcessRuntime
from agents.zygote.own import zygote_of_this_process

RuntimeName = Literal["process", "docker", "swarm"]


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """What the settings say; `placement` holds Swarm's constraints, with commas between them."""

    name: RuntimeName = "process"
    image: str | None = None
    placement: str | None = None


def choose(choice: RuntimeChoice, deployment: Deployment, own: Mapping[str, str]) -> Runtime:
    """The runtime for a manager whose environment is `own`; raises Unavailable without the engine that it needs."""
    image = choice.image or default_image()
    if choice.name == "docker":
        from agents.runtimes.docker_engine import DockerRuntime

        return DockerRuntime(deployment, image, own)
    if choice.name == "swarm":
        from agents.runtimes.swarm_cluster import SwarmRuntime

        placement = tuple(filter(None, (one.strip() for one in (choice.placement or "").split(","))))
        return SwarmRuntime(deployment, image, own, placement)
    environment = partial(environment_of, deployment=deployment, own=own)
    return ProcessRuntime(deployment.fleet, deployment.folder, environment, zygote_of_this_process())


def default_image() -> str:
    """The image of this version, as `make image` names it."""
    return f"swarmex:{version('swarmex')}"
