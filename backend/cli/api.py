"""The API in the foreground."""

import os
import sys

from backend.cli.options import AsJson, examples
from backend.cli.servers import require_free_port

EXAMPLES = examples("swarmex api", "SWARMEX_API_PORT=8081 SWARMEX_LOG_LEVEL=DEBUG swarmex api")


def api(as_json: AsJson = False) -> None:  # noqa: ARG001  # a refusal to start is told in that form
    """Run only the HTTP API, in the foreground.

    Until Ctrl-C; it logs lines of JSON on standard error.
    """
    from backend import bootstrap

    require_free_port(bootstrap.settings())
    os.execv(sys.executable, [sys.executable, "-m", "backend.api"])  # noqa: S606  # this very interpreter, no shell
