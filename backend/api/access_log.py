"""One structured line per request: ids, route, status and duration; never a body, a header or a query."""

import logging

import structlog
from starlette.types import Scope

from backend.gateway.callers import SCOPE_KEY

log = structlog.get_logger("swarmex.access")

QUIET = ("/health", "/v2", "/api/v1/node/work")  # probes and what comes every second: at debug
SERVER_ERROR = 500


def write(scope: Scope, request_id: str, trace_id: str, route: str, status: int, seconds: float) -> None:
    """Say that a request was answered."""
    level = logging.DEBUG if scope["path"].startswith(QUIET) else logging.INFO
    if not log.is_enabled_for(level):
        return
    principal = scope.get(SCOPE_KEY)
    log.log(
        level,
        "request",
        request_id=request_id,
        trace_id=trace_id,
        method=scope["method"],
        route=route,
        status=status,
        ms=round(seconds * 1_000, 3),
        caller_account=str(principal.account_id) if principal else None,
        caller_key=str(principal.key_id) if principal else None,
        about={name: str(value) for name, value in scope.get("path_params", {}).items()},
    )
