"""At which address and port of this machine an API in a container answers."""

import socket
from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8080


def published_address(own: Mapping[str, str]) -> tuple[str, int]:
    """As the manager's environment has it; for port 0 a free one, which the container is told as well."""
    host, port = own.get("SWARMEX_API_HOST", LOOPBACK), int(own.get("SWARMEX_API_PORT", DEFAULT_PORT))
    if port:
        return host, port
    with socket.create_server((host, 0)) as probe:
        return host, int(probe.getsockname()[1])
