"""The gRPC face as operators meet it: refusals to start, an entry of the fleet, and what the doctor finds."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from backend.bootstrap import new_id, utc_now
from backend.cli.fleet import GRPC
from backend.domain.fleet import AgentKind
from backend.domain.ids import AgentId
from backend.domain.work import AgentBeat
from backend.services import fleet
from tests.certificates import Certificate, authority, signed
from tests.integration.cli.runner import Cli
from tests.market import Market


def finding(cli: Cli) -> tuple[str, str] | None:
    """What the doctor says of gRPC, if anything."""
    found = [f for f in cli.run("doctor", "--json").document["findings"] if f["what"] == "grpc"]
    assert all(f["do"] for f in found if f["verdict"] != "ok")
    return (found[0]["verdict"], found[0]["found"]) if found else None


def beats(market: Market, url: str) -> None:
    """A server says that it answers there."""
    sign = AgentBeat(AgentId(new_id()), AgentKind.GRPC, "grpc-0", "host", 1, endpoint=url)
    fleet.beat(market.app.uow(), utc_now(), sign)


@contextmanager
def listening(certificate: Certificate | None = None, folder: Path = Path()) -> Iterator[int]:
    """The port of somebody who takes connections, and shows a certificate if there is one."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate:
        server.load_cert_chain(*certificate.write(folder, "listener"))

    def take(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                taken, _ = listener.accept()
                with suppress(OSError), taken:
                    if certificate:
                        server.wrap_socket(taken, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_files_that_cannot_be_served_with_are_refused_before_anything_starts(
    cli: Cli, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = signed("server", authority("ours")).write(tmp_path, "server")
    missing = tmp_path / "missing.pem"
    start = ("grpc", "--port", "0")
    assert cli.refused(*start, "--cert", cert) == ("tls_incomplete", "SWARMEX_GRPC_KEY")
    assert cli.refused(*start, "--cert", cert, "--key", missing) == ("tls_file_unreadable", "SWARMEX_GRPC_KEY")
    assert cli.refused(*start, "--cert", cert, "--key", cert) == ("tls_file_invalid", "SWARMEX_GRPC_KEY")
    files = ("--cert", cert, "--key", key)
    assert cli.refused(*start, *files, "--client-ca", key) == ("tls_file_invalid", "SWARMEX_GRPC_CLIENT_CA")
    monkeypatch.setenv("SWARMEX_API_PORT", "0")
    monkeypatch.setenv("SWARMEX_GRPC_PORT", "0")
    monkeypatch.setenv("SWARMEX_GRPC_CERT", str(cert))
    assert cli.refused("up", "--grpc") == ("tls_incomplete", "SWARMEX_GRPC_KEY")
    assert fleet.desired(market.app.uow()) == []


def test_a_port_that_is_taken_is_refused_by_both_that_would_start_a_server(
    cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMEX_API_PORT", "0")
    with listening() as port:
        monkeypatch.setenv("SWARMEX_GRPC_PORT", str(port))
        assert cli.refused("grpc") == ("grpc_port_taken", "SWARMEX_GRPC_PORT")
        assert cli.refused("up", "--grpc") == ("grpc_port_taken", "SWARMEX_GRPC_PORT")


def test_it_can_be_added_to_a_fleet_that_runs_and_removed_again(cli: Cli, market: Market) -> None:
    added = cli.run("agents", "add", "grpc", "--json").document
    assert (added["name"], added["kind"], added["replicas"]) == ("grpc", "grpc", 1)
    beats(market, "grpcs://127.0.0.1:8001")
    [listed] = cli.json("agents", "list")
    assert (listed["name"], listed["endpoint"]) == ("grpc-0", "grpcs://127.0.0.1:8001")
    assert "grpcs://127.0.0.1:8001" in cli.run("agents", "list").out
    assert cli.run("agents", "remove", "grpc", "--json").document["leaving"] == ["grpc-0"]


def test_the_doctor_looks_at_it_where_it_is_wanted_or_there(cli: Cli, market: Market) -> None:
    market.app.folder.mkdir(exist_ok=True)
    assert finding(cli) is None, "a market without it lacks nothing"
    fleet.ensure(market.app.uow(), [GRPC])
    assert finding(cli) == ("wrong", "it does not run")
    with listening() as port:
        beats(market, f"grpc://127.0.0.1:{port}")
        assert finding(cli) == ("ok", f"listens at grpc://127.0.0.1:{port}, in the clear")
    found = finding(cli)
    assert found is not None
    assert found[0] == "wrong"


@pytest.mark.parametrize(
    ("lasts", "verdict", "told"),
    [
        (timedelta(days=30), "ok", "valid for 29 more days"),
        (timedelta(days=5), "note", "valid for 4 more days"),
        (timedelta(days=-1), "wrong", "certificate has expired"),
    ],
)
def test_the_doctor_tells_of_a_certificate_before_it_ends(
    cli: Cli, market: Market, tmp_path: Path, lasts: timedelta, verdict: str, told: str
) -> None:
    market.app.folder.mkdir(exist_ok=True)
    with listening(signed("server", authority("ours"), lasts), tmp_path) as port:
        beats(market, f"grpcs://127.0.0.1:{port}")
        found = finding(cli)
    assert found is not None
    assert found[0] == verdict
    assert told in found[1]


def test_the_doctor_finds_one_that_says_tls_and_has_none(cli: Cli, market: Market) -> None:
    market.app.folder.mkdir(exist_ok=True)
    with listening() as port:
        beats(market, f"grpcs://127.0.0.1:{port}")
        found = finding(cli)
    assert found is not None
    assert found[0] == "wrong"
