"""Agents: their kinds, how many of each there should be, and with what."""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from backend.domain.errors import Invalid, shown
from backend.domain.nodes import check_name
from backend.domain.scaling import ScalingPolicy

REPLICAS_MAX = 100
DRAIN_MAX_S = 120.0  # an agent that is asked to leave may finish what it has in hand for so long
CPU_MAX = 256.0
MEMORY_MB_MIN, MEMORY_MB_MAX = 32, 1 << 22
ARGUMENTS_MAX = 8
ARGUMENT_CHARS_MAX = 64  # all of a member has to fit into the title of its process
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}", re.ASCII)


class AgentKind(StrEnum):
    """Every kind of process that the manager runs, and the manager."""

    API = "api"
    GRPC = "grpc"
    PRICING = "pricing"
    ALLOCATION = "allocation"
    SETTLEMENT = "settlement"
    INFERENCE = "inference"
    EXTERNAL = "external"
    TRAINING_ROUND = "training-round"
    MANAGER = "manager"


class AgentState(StrEnum):
    """What an agent says of itself, or the manager of it; a live one has also beaten lately.

    One that drains finishes what it holds and ends; one that is lost ended without a word.
    """

    UP = "up"
    DRAINING = "draining"
    STOPPED = "stopped"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Resources:
    """What each replica may use: cores and MiB; None is as much as there is."""

    cpu: float | None = None
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """`replicas` agents of a kind with these arguments should be running under this name.

    With a policy the number follows the load between `replicas_min` and `replicas_max`; without one it is fixed.
    """

    name: str
    kind: AgentKind
    arguments: tuple[str, ...] = ()
    replicas: int = 1
    replicas_min: int = 0
    replicas_max: int = REPLICAS_MAX
    image: str | None = None
    resources: Resources | None = None
    policy: ScalingPolicy | None = None

    def facts(self) -> dict[str, object]:
        """The entry as the audit log has it."""
        resources = self.resources or Resources()
        return {
            "kind": str(self.kind),
            "arguments": list(self.arguments),
            "replicas": [self.replicas_min, self.replicas, self.replicas_max],
            "image": self.image,
            "resources": {"cpu": resources.cpu, "memory_mb": resources.memory_mb},
            "policy": self.policy and self.policy.wire(),
        }


def fleet_label(folder: str) -> str:
    """What the processes of the market in a data folder carry, to be told from those of another."""
    return hashlib.sha256(folder.encode()).hexdigest()[:16]


def check_spec(spec: FleetSpec) -> FleetSpec:
    """`spec` if a fleet can have it; raises Invalid with the field's name."""
    check_name(spec.name)
    if spec.kind is AgentKind.MANAGER:
        kinds = ", ".join(kind for kind in AgentKind if kind is not AgentKind.MANAGER)
        raise Invalid("a manager does not run managers", code="invalid_kind", field="kind", accepted=kinds)
    if len(spec.arguments) > ARGUMENTS_MAX or any(len(argument) > ARGUMENT_CHARS_MAX for argument in spec.arguments):
        accepted = f"at most {ARGUMENTS_MAX} of at most {ARGUMENT_CHARS_MAX} characters"
        raise Invalid("too many arguments", code="invalid_arguments", field="arguments", accepted=accepted)
    _check_count("replicas_max", spec.replicas_max, 0, REPLICAS_MAX)
    _check_count("replicas_min", spec.replicas_min, 0, spec.replicas_max)
    _check_count("replicas", spec.replicas, spec.replicas_min, spec.replicas_max)
    if spec.image is not None and not _IMAGE.fullmatch(spec.image):
        message, accepted = f"{shown(spec.image)} cannot be an image", "a name like swarmex:1.0"
        raise Invalid(message, code="invalid_image", field="image", accepted=accepted)
    _check_resources(spec.resources or Resources())
    if spec.policy is not None and spec.kind is not AgentKind.INFERENCE:
        raise Invalid(
            f"the load of {spec.kind} agents is not measured",
            code="invalid_policy",
            field="policy",
            accepted="a policy for inference agents, or a fixed number of replicas",
        )
    return spec


def _check_count(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Invalid(f"{value} for {name}", code=f"invalid_{name}", field=name, accepted=f"{least} to {most}")


def _check_resources(resources: Resources) -> None:
    if resources.cpu is not None and not 0 < resources.cpu <= CPU_MAX:
        message, accepted = f"{resources.cpu} cores", f"above 0, at most {CPU_MAX:.0f}"
        raise Invalid(message, code="invalid_cpu", field="resources.cpu", accepted=accepted)
    if resources.memory_mb is not None and not MEMORY_MB_MIN <= resources.memory_mb <= MEMORY_MB_MAX:
        message, accepted = f"{resources.memory_mb} MiB", f"{MEMORY_MB_MIN} to {MEMORY_MB_MAX}"
        raise Invalid(message, code="invalid_memory_mb", field="resources.memory_mb", accepted=accepted)


def missing_members(specs: Sequence[FleetSpec], living: Collection[str]) -> list[str]:
    """Labels of replicas that are wanted and not among the `living`, whose numbers need not be the lowest."""
    missing: list[str] = []
    for spec in specs:
        replica = re.compile(rf"{re.escape(spec.name)}-\d+")
        lacking = spec.replicas - sum(replica.fullmatch(label) is not None for label in living)
        free = (label for number in range(REPLICAS_MAX) if (label := f"{spec.name}-{number}") not in living)
        missing += [label for _, label in zip(range(lacking), free, strict=False)]
    return missing
