"""The servers of a data folder, started and stopped through the composition root."""

import socket
from typing import TYPE_CHECKING

from backend.cli.connection import is_embedded, quiet_logs
from backend.domain.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from backend.bootstrap import Settings, Swarmex


def start(settings: "Settings") -> tuple["Swarmex", bool]:
    """The wired deployment with its schema up to date, and whether embedded servers had to be started for it."""
    from backend import bootstrap

    quiet_logs(settings)
    started = is_embedded(settings) and not are_up(settings)
    market = bootstrap.connect(settings)
    if market.schema_revision() != bootstrap.latest_revision():  # servers of one's own are not migrated by `connect`
        bootstrap.migrate(market.database_url)
    return market, started


def are_up(settings: "Settings", *, without_redis: bool = False) -> bool:
    """Whether the data folder's servers answer, or PostgreSQL alone."""
    from backend import bootstrap

    try:
        bootstrap.connect(settings, start_servers=False, without_redis=without_redis).close()
    except Unavailable:
        return False
    return True


def stop(settings: "Settings") -> bool:
    """Stop embedded servers; returns whether any ran."""
    from backend import bootstrap

    if not is_embedded(settings):
        return False
    ran = are_up(settings)
    bootstrap.stop_servers(settings)
    return ran


def require_free_port(settings: "Settings") -> None:
    """Raise Conflict(`port_taken`) when the API could not listen where the settings say."""
    require_free(settings.api_host, settings.api_port, "the API", "SWARMEX_API_PORT")


def require_free(host: str, port: int, server: str, field: str, code: str = "port_taken") -> None:
    """Raise Conflict when `server`, whose port is set by `field`, could not listen there."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"{server} cannot listen on {host} port {port}: {error.strerror}",
                code=code,
                field=field,
                accepted="a free port, or 0 for any",
            ) from None
