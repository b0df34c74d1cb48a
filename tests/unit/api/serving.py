"""A real server for a test: uvicorn with the API's own protocol on a free port, in a thread."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn

from backend.gateway.oip.body_receiver import BODY_RECEIVER
from tests.waiting import PATIENCE_S


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The URL of `app`, served until the block ends."""
    # Not to `sys.stderr`: pytest swaps and closes that one under the server's threads.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),
    )
    config = uvicorn.Config(
        app, port=0, http=BODY_RECEIVER, log_config=None, access_log=False, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="test-server", daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < deadline, "the server takes too long to start"
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
