"""What a child process gets to know: its labels, its settings, and nothing that its kind has no use for."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.runtimes.base import Member
from agents.runtimes.faces import files_of
from backend.domain.fleet import AgentKind, Resources

FLEET = "SWARMEX_FLEET"
METRICS_PORT = "SWARMEX_METRICS_PORT"

# Of the manager's own environment: what Python, the C library, TLS, object stores and OpenTelemetry need.
PASSED_PREFIXES = ("AWS_", "LC_", "MKL_", "OMP_", "OPENBLAS_", "ORT_", "OTEL_", "PYTHON")
PASSED = {
    "HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
}

# Of its settings, what an inference agent has a use for and the deployment does not fix.
ENGINE_SETTINGS = (
    "SWARMEX_MODEL_MEMORY_MB",
    "SWARMEX_REMOTE_BACKENDS",
    "SWARMEX_SEALING_FOLDER",
    "SWARMEX_TRAINERS",
    "SWARMEX_TRAINER_MEMORY_MB",
    "SWARMEX_TRAINING_DATA",
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the members of one fleet share."""

    fleet: str  # tells fleets on one machine apart
    folder: Path
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    node_database_url: Callable[[], str]  # asked for when the first node starts; raises SwarmexError
    objects_url: str
    model_cache: Path
    bus_namespace: str
    log_level: str


def environment_of(member: Member, deployment: Deployment, own: Mapping[str, str]) -> dict[str, str]:
    """Environment of `member`; `own` is the manager's. An inference agent never learns the owner's URL.

    The port for metrics stays the manager's own: members may share its machine.
    """
    passed = passed_on(own)
    shared = {
        FLEET: deployment.fleet,
        "SWARMEX_AGENT_NAME": member.label,
        "SWARMEX_REDIS_URL": deployment.redis_url,
        "SWARMEX_OBJECTS_URL": deployment.objects_url,
        "SWARMEX_MODEL_CACHE": str(deployment.model_cache),
        "SWARMEX_BUS_NAMESPACE": deployment.bus_namespace,
        "SWARMEX_LOG_LEVEL": deployment.log_level,
    }
    if member.kind == AgentKind.INFERENCE:
        chosen = {name: own[name] for name in ENGINE_SETTINGS if name in own}
        return passed | shared | chosen | {"SWARMEX_NODE_DATABASE_URL": deployment.node_database_url()}
    settings = {name: value for name, value in own.items() if name.startswith("SWARMEX_") and name != METRICS_PORT}
    settings |= {name: str(path) for name, path in files_of(member.kind, own).items()}  # it works in another folder
    return (
        passed
        | settings
        | shared
        | {"SWARMEX_DATABASE_URL": deployment.database_url, "SWARMEX_DATA_FOLDER": str(deployment.folder)}
    )


def passed_on(own: Mapping[str, str]) -> dict[str, str]:
    """What every process gets of an environment: nothing of the market's, nothing of the operator's."""
    return {name: value for name, value in own.items() if name in PASSED or name.startswith(PASSED_PREFIXES)}


def to_label(member: Member) -> str:
    """A member as the text of one label."""
    limits = member.resources and [member.resources.cpu, member.resources.memory_mb]
    return json.dumps(
        [member.name, member.number, member.kind, list(member.arguments), member.image, limits], ensure_ascii=False
    )


def from_label(label: str) -> Member | None:
    """The inverse of `to_label`; None for what is not one of ours."""
    try:
        name, number, kind, arguments, *rest = json.loads(label)  # before images and limits there were four
        image, limits = rest or (None, None)
        resources = None if limits is None else Resources(*limits)
        return Member(str(name), int(number), AgentKind(kind), tuple(map(str, arguments)), image, resources)
    except (ValueError, TypeError):
        return None
