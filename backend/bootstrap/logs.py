"""How every process logs."""

import logging
import sys

import structlog

from backend.messaging.tracing import CURRENT, REQUEST_ID


def configure_logging(level: str = "INFO") -> None:
    """Structured lines of JSON on standard error, one per fact; libraries' own log lines become such too."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        _where,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, _level(level)), force=True)
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(_level(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _where(_logger: object, _method: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
    """Say to which trace and request a line belongs: found out when one is written, which most requests never do."""
    if (here := CURRENT.get()) is not None:
        line.setdefault("trace_id", here.trace_id)
        line.setdefault("span_id", here.span_id)
    if (request_id := REQUEST_ID.get()) is not None:
        line.setdefault("request_id", request_id)
    return line


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]
