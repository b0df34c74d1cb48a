"""Free TCP ports, and the addresses that the servers listen on."""

import ipaddress
import re
import socket
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
BRIDGE = "docker0"
PORT_ATTEMPTS_MAX = 20


def bridge() -> ipaddress.IPv4Interface | None:
    """Address and network of Docker's default bridge, over which containers come; None without Docker."""
    for address in psutil.net_if_addrs().get(BRIDGE, ()):
        if address.family == socket.AF_INET:
            return ipaddress.IPv4Interface(f"{address.address}/{address.netmask}")
    return None


def listen_addresses() -> list[str]:
    """Where the servers listen: this machine and its containers, never the network."""
    containers = bridge()
    return [LOOPBACK] + ([str(containers.ip)] if containers else [])


def free_port(addresses: list[str], preferred: int | None) -> int:
    """A port that is free on all `addresses`: `preferred` if possible. The caller retries a lost race."""
    if preferred is not None and _bindable(addresses, preferred) is not None:
        return preferred
    for _ in range(PORT_ATTEMPTS_MAX):
        port = _bindable(addresses, 0)
        if port is not None:
            return port
    raise OSError(f"no free port on {', '.join(addresses)}")


def port_in(configuration: Path) -> int | None:
    """The port named by a server's configuration file; None if there is no such file."""
    try:
        found = re.search(r"^port\s*=?\s*(\d+)", configuration.read_text(), re.MULTILINE)
    except FileNotFoundError:
        return None
    return int(found[1]) if found else None


def _bindable(addresses: list[str], port: int) -> int | None:
    for address in addresses:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as both servers do
            try:
                probe.bind((address, port))
            except OSError:
                return None
            port = probe.getsockname()[1]
    return port
