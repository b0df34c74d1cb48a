"""A server's certificate files, tried before anybody is served by them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.domain.errors import Invalid
from backend.gateway.certificates import FILE_BYTES_MAX, TlsFiles, load, tls_files
from tests.certificates import LASTS, authority, signed

PREFIX = "SWARMEX_GRPC_"
Change = Callable[[Path], object]


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    """A good certificate, its key, and an authority of clients."""
    ours = authority("ours")
    return TlsFiles(*signed("server", ours).write(tmp_path, "server"), ours.write(tmp_path, "clients")[0])


def test_what_can_be_served_with_is_read_with_its_names_and_its_end(files: TlsFiles) -> None:
    tls = load(files, PREFIX)
    assert (tls.cert, tls.key) == (files.cert.read_bytes(), files.key.read_bytes())
    assert files.client_ca is not None
    assert tls.client_ca == files.client_ca.read_bytes()
    assert tls.names == ("localhost", "127.0.0.1")
    assert timedelta(0) < datetime.now(UTC) + LASTS - tls.ends_at < timedelta(hours=1)
    assert "PRIVATE KEY" not in repr(tls)
    assert load(TlsFiles(files.cert, files.key), PREFIX).client_ca is None


@pytest.mark.parametrize(
    ("which", "change", "code", "field"),
    [
        ("cert", Path.unlink, "tls_file_unreadable", "CERT"),
        ("key", Path.unlink, "tls_file_unreadable", "KEY"),
        ("client_ca", Path.unlink, "tls_file_unreadable", "CLIENT_CA"),
        ("cert", lambda file: file.write_text("hello"), "tls_file_invalid", "CERT"),
        ("cert", lambda file: file.write_bytes(b"a" * (FILE_BYTES_MAX + 1)), "tls_file_invalid", "CERT"),
        ("key", lambda file: file.write_text(""), "tls_file_invalid", "KEY"),
        ("key", lambda file: file.write_bytes(authority("a").key_pem(b"secret")), "tls_file_invalid", "KEY"),
        ("client_ca", lambda file: file.write_text("hello"), "tls_file_invalid", "CLIENT_CA"),
        ("key", lambda file: file.write_bytes(authority("a").key_pem()), "tls_key_mismatch", "KEY"),
    ],
)
def test_files_that_nobody_could_be_served_with_are_refused_by_name(
    files: TlsFiles, which: str, change: Change, code: str, field: str
) -> None:
    file = getattr(files, which)
    change(file)
    with pytest.raises(Invalid) as refused:
        load(files, PREFIX)
    assert (refused.value.code, refused.value.field) == (code, f"{PREFIX}{field}")
    assert str(file) in refused.value.message
    assert refused.value.accepted


def test_a_certificate_that_has_expired_is_refused_as_clients_would(files: TlsFiles, tmp_path: Path) -> None:
    old = signed("server", authority("ours"), timedelta(days=-1)).write(tmp_path, "old")
    with pytest.raises(Invalid, match="expired") as refused:
        load(TlsFiles(*old), PREFIX)
    assert (refused.value.code, refused.value.field) == ("tls_certificate_refused", f"{PREFIX}CERT")


@pytest.mark.parametrize(("given", "lacking"), [("cert", "KEY"), ("key", "CERT"), ("client_ca", "CERT")])
def test_a_part_of_it_is_not_enough(given: str, lacking: str) -> None:
    chosen = {"cert": None, "key": None, "client_ca": None} | {given: Path("x.pem")}
    with pytest.raises(Invalid) as refused:
        tls_files(**chosen, prefix=PREFIX)
    assert (refused.value.code, refused.value.field) == ("tls_incomplete", f"{PREFIX}{lacking}")


def test_without_any_a_server_is_in_the_clear() -> None:
    assert tls_files(None, None, None, PREFIX) is None
    assert tls_files(Path("a"), Path("b"), None, PREFIX) == TlsFiles(Path("a"), Path("b"))
