"""`python -m backend.api`: serves the API until SIGTERM or SIGINT, finishes what runs, exits 0."""

import signal
import sys

import structlog

from backend import bootstrap
from backend.api.app import create_app
from backend.api.server import Server, bind
from backend.domain.fleet import AgentKind
from backend.gateway.member import Member

log = structlog.get_logger("swarmex.api")


def main() -> int:
    """Serve; the process's exit code."""
    settings = bootstrap.settings()
    bootstrap.configure_logging(settings.log_level)
    try:
        bound = bind(settings.api_host, settings.api_port)
    except OSError as error:
        log.error(
            "address_taken", host=settings.api_host, port=settings.api_port, error=str(error), set="SWARMEX_API_PORT"
        )
        return 1
    market = bootstrap.connect(settings)
    named = settings.agent_name or "api"
    stop_tracing = bootstrap.start_tracing("api", named)
    server = Server(create_app(market), bound, market.folder)
    bootstrap.calm_collector()

    def end(*_: object) -> None:
        server.should_exit = True

    # Uvicorn raises the signal that ended it once more: with handlers of our own that is no death by signal.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    member = Member(market, AgentKind.API, named, server.url, end)
    member.start()
    try:
        server.serve_until_told()
    finally:
        member.stop()
        market.close()
        stop_tracing()
    return 0


if __name__ == "__main__":
    sys.exit(main())
