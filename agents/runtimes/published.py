"""At which address and port of this machine a server in a container answers."""

import socket
from collections.abc import Mapping

from agents.runtimes.faces import FACES
from backend.domain.fleet import AgentKind

LOOPBACK = "127.0.0.1"


def published_address(kind: AgentKind, own: Mapping[str, str]) -> tuple[str, int] | None:
    """As the manager's environment has it; for port 0 a free one, which the container is told as well.

    None for members that nobody dials.
    """
    face = FACES.get(kind)
    if face is None:
        return None
    host, port = own.get(f"{face.prefix}HOST", LOOPBACK), int(own.get(f"{face.prefix}PORT", face.port))
    if port:
        return host, port
    with socket.create_server((host, 0)) as probe:
        return host, int(probe.getsockname()[1])
