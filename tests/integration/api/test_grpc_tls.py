"""The gRPC face by TLS: Triton's unmodified client, certificates of clients, and renewals without a restart."""

import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from backend.bootstrap import Swarmex, utc_now
from backend.gateway.certificate_probe import shown_until
from tests.certificates import authority, signed
from tests.integration.api.callers import Callers
from tests.integration.api.grpc_process import MODULE, environment, grpc_process
from tests.integration.api.requests import ROW
from tests.integration.api.supply import Supply
from tests.waiting import PATIENCE_S, until


def place_of(address: str) -> tuple[str, int]:
    """Host and port."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def is_served(address: str, **files: Path) -> bool:
    """Whether a client with these files gets an answer."""
    words: dict[str, Any] = {name: str(path) for name, path in files.items()}
    with triton.InferenceServerClient(address, ssl=bool(files), **words) as client:
        try:
            return bool(client.is_server_ready(client_timeout=PATIENCE_S))
        except InferenceServerException:
            return False


def test_tritons_client_is_served_by_tls_and_a_renewed_certificate_needs_no_restart(
    market: Swarmex, callers: Callers, supply: Supply, tmp_path: Path
) -> None:
    ours, others = authority("ours"), authority("others")
    root, foreign = ours.write(tmp_path, "ours")[0], others.write(tmp_path, "others")[0]
    cert, key = signed("first", ours).write(tmp_path, "server")
    with grpc_process(market, tmp_path / "grpc", grpc_cert=cert, grpc_key=key) as (_, address):
        with triton.InferenceServerClient(address, ssl=True, root_certificates=str(root)) as client:
            tensor = triton.InferInput("x", [1, 4], "FP32")
            tensor.set_data_from_numpy(np.array([ROW], np.float32))
            answer = client.infer("scale", [tensor], headers={"authorization": callers.user.headers["Authorization"]})
            assert answer.as_numpy("y").tolist() == [[2 * x for x in ROW]]
        assert not is_served(address, root_certificates=foreign), "nobody knows who signed it"
        assert not is_served(address), "and nobody is served in the clear"

        renewed = signed("second", ours)
        renewed.write(tmp_path, "server")
        until(lambda: ssl.get_server_certificate(place_of(address)) == renewed.pem.decode(), "it shows the new one")
        assert is_served(address, root_certificates=root)
        cert.write_text("half of a file")
        assert is_served(address, root_certificates=root), "what cannot be used changes nothing"
        left = shown_until(place_of(address)) - renewed.made.not_valid_after_utc
        assert left.total_seconds() == 0


def test_where_clients_must_show_a_certificate_no_others_are_served(market: Swarmex, tmp_path: Path) -> None:
    ours, theirs = authority("ours"), authority("theirs")
    root, clients = ours.write(tmp_path, "ours")[0], theirs.write(tmp_path, "theirs")[0]
    cert, key = signed("server", ours).write(tmp_path, "server")
    shown, secret = signed("client", theirs).write(tmp_path, "client")
    with grpc_process(market, tmp_path / "grpc", grpc_cert=cert, grpc_key=key, grpc_client_ca=clients) as (_, address):
        assert is_served(address, root_certificates=root, certificate_chain=shown, private_key=secret)
        assert not is_served(address, root_certificates=root)
        assert not is_served(address, root_certificates=root, certificate_chain=cert, private_key=key)
        assert shown_until(place_of(address)) > utc_now(), "whoever looks at the server's needs none"


def test_a_server_with_files_that_it_could_not_serve_with_does_not_start_and_says_why(
    market: Swarmex, tmp_path: Path
) -> None:
    cert, _ = signed("server", authority("ours")).write(tmp_path, "server")
    told = environment(market, tmp_path) | {"SWARMEX_GRPC_CERT": str(cert), "SWARMEX_GRPC_KEY": str(cert)}
    ended = subprocess.run(
        [sys.executable, "-m", MODULE], env=told, capture_output=True, check=False, timeout=PATIENCE_S
    )
    assert ended.returncode == 1
    line = orjson.loads(ended.stderr.splitlines()[-1])
    assert (line["event"], line["code"], line["field"]) == ("grpc.not_served", "tls_file_invalid", "SWARMEX_GRPC_KEY")
    assert "PEM" in line["accepted"]
