"""Members that clients dial: their programs, and which of the deployment's settings are theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.domain.fleet import AgentKind


@dataclass(frozen=True, slots=True)
class Face:
    """A kind of server: its module, how its settings begin, its usual port, and the file that tells its address.

    `files` are settings that name files which it reads.
    """

    module: str
    prefix: str
    port: int
    address_file: str
    files: tuple[str, ...] = ()


FACES: Mapping[AgentKind, Face] = {
    AgentKind.API: Face("backend.api", "SWARMEX_API_", 8080, "api.url"),
    AgentKind.GRPC: Face(
        "backend.gateway.grpc",
        "SWARMEX_GRPC_",
        8001,
        "grpc.address",
        ("SWARMEX_GRPC_CERT", "SWARMEX_GRPC_KEY", "SWARMEX_GRPC_CLIENT_CA"),
    ),
}


def files_of(kind: AgentKind, own: Mapping[str, str]) -> dict[str, Path]:
    """The files that a member of a kind reads, by their settings, absolute: `own` is the manager's environment."""
    face = FACES.get(kind)
    return {name: Path(own[name]).expanduser().absolute() for name in face.files if own.get(name)} if face else {}
