"""The gRPC face of real-time inference in the foreground."""

import os
import sys
from typing import Annotated

import typer

from backend.cli.options import AsJson, examples
from backend.cli.servers import require_free

EXAMPLES = examples("swarmex grpc", "swarmex grpc --port 0   # any free one: see .swarmex/grpc.address")
PORT = 8001  # where clients of the protocol look for it


def grpc(
    host: Annotated[str, typer.Option(envvar="SWARMEX_GRPC_HOST", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="SWARMEX_GRPC_PORT", min=0, max=65_535, help="The port; 0 takes a free one.")
    ] = PORT,
    as_json: AsJson = False,  # noqa: ARG001  # a refusal to start is told in that form
) -> None:
    """Run only the gRPC face of the Open Inference Protocol, in the foreground.

    Until Ctrl-C; it logs lines of JSON on standard error. The key goes into the metadata: authorization: Bearer swx_...
    """
    require_free(host, port, "gRPC", "--port", "grpc_port_taken")
    module = "backend.gateway.grpc"
    os.execv(sys.executable, [sys.executable, "-m", module, host, str(port)])  # noqa: S606  # this interpreter, no shell
