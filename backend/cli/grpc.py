"""The gRPC face of real-time inference in the foreground."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.options import AsJson, examples
from backend.cli.servers import require_free

if TYPE_CHECKING:
    from backend.bootstrap import Settings

EXAMPLES = examples(
    "swarmex grpc",
    "swarmex grpc --port 0   # any free one: see .swarmex/grpc.address",
    "swarmex grpc --host 0.0.0.0 --cert server.pem --key server.key",
    "swarmex grpc --cert server.pem --key server.key --client-ca clients.pem",
)
PREFIX = "SWARMEX_GRPC_"


def grpc(
    host: Annotated[
        str | None, typer.Option(help="Where to listen (SWARMEX_GRPC_HOST); 127.0.0.1 unless told.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="The port (SWARMEX_GRPC_PORT): 8001 unless told; 0: any.", show_default=False
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Serve by TLS with this certificate, PEM, what leads to its authority after it (SWARMEX_GRPC_CERT).",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its key, PEM, without a password (SWARMEX_GRPC_KEY).", show_default=False),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Serve only clients with a certificate of these authorities, PEM (SWARMEX_GRPC_CLIENT_CA).",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,  # noqa: ARG001  # a refusal to start is told in that form
) -> None:
    """Run only the gRPC face of the Open Inference Protocol, in the foreground.

    Until Ctrl-C; it logs lines of JSON on standard error. `swarmex up --grpc` runs it with everything else. The key
    goes into the metadata: authorization: Bearer swx_...
    """
    from backend import bootstrap

    options = {"host": host, "port": port, "cert": cert, "key": key, "client_ca": client_ca}
    given = {name: value for name, value in options.items() if value is not None}
    require_servable(bootstrap.settings().model_copy(update={f"grpc_{name}": value for name, value in given.items()}))
    environment = os.environ | {PREFIX + name.upper(): str(value) for name, value in given.items()}
    command = [sys.executable, "-m", "backend.gateway.grpc"]
    os.execve(sys.executable, command, environment)  # noqa: S606  # this very interpreter, no shell


def require_servable(settings: "Settings") -> None:
    """Raise Conflict(`grpc_port_taken`), or Invalid for certificate files that could not be served with."""
    from backend.gateway.certificates import load, tls_files

    require_free(settings.grpc_host, settings.grpc_port, "gRPC", f"{PREFIX}PORT", "grpc_port_taken")
    files = tls_files(settings.grpc_cert, settings.grpc_key, settings.grpc_client_ca, PREFIX)
    if files is not None:
        load(files, PREFIX)
