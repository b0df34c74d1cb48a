"""`python -m backend.gateway.grpc HOST PORT`: serves until SIGTERM or SIGINT, finishes what runs, exits 0."""

import asyncio
import sys

import structlog

from backend import bootstrap
from backend.domain.errors import SwarmexError
from backend.gateway.grpc.server import serve_until_told

log = structlog.get_logger("swarmex.grpc")


def main(host: str, port: int) -> int:
    """Serve; the process's exit code."""
    settings = bootstrap.settings()
    bootstrap.configure_logging(settings.log_level)
    market = bootstrap.connect(settings)
    stop_tracing = bootstrap.start_tracing("grpc", settings.agent_name or "grpc")
    bootstrap.calm_collector()
    try:
        asyncio.run(serve_until_told(market, host, port))
    except SwarmexError as error:
        log.error("grpc.not_served", code=error.code, error=error.message, field=error.field, accepted=error.accepted)
        return 1
    finally:
        market.close()
        stop_tracing()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
