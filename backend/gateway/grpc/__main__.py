"""`python -m backend.gateway.grpc`: serves gRPC until SIGTERM, SIGINT or a drain, finishes what runs, exits 0."""

import asyncio
import sys

import structlog

from backend import bootstrap
from backend.domain.errors import SwarmexError
from backend.gateway.certificates import tls_files
from backend.gateway.grpc.credentials import PREFIX
from backend.gateway.grpc.server import serve_until_told

log = structlog.get_logger("swarmex.grpc")


def main() -> int:
    """Serve; the process's exit code."""
    settings = bootstrap.settings()
    bootstrap.configure_logging(settings.log_level)
    market = bootstrap.connect(settings)
    name = settings.agent_name or "grpc"
    stop_tracing = bootstrap.start_tracing("grpc", name)
    bootstrap.calm_collector()
    try:
        tls = tls_files(settings.grpc_cert, settings.grpc_key, settings.grpc_client_ca, PREFIX)
        asyncio.run(serve_until_told(market, name, tls))
    except SwarmexError as error:
        log.error("grpc.not_served", code=error.code, error=error.message, field=error.field, accepted=error.accepted)
        return 1
    finally:
        market.close()
        stop_tracing()
    return 0


if __name__ == "__main__":
    sys.exit(main())
