"""The files that a server proves itself with: read, and tried on a client in memory, before anybody else sees them."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.domain.errors import Invalid

FILE_BYTES_MAX = 1 << 20
HANDSHAKE_TURNS_MAX = 10  # of a handshake in memory; TLS 1.3 takes two


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate with what leads to its authority, its key, and whose certificates clients must show, if any."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """What the files had in them, all PEM; `names` are the hosts that the certificate is for."""

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    names: tuple[str, ...]
    ends_at: datetime


def tls_files(cert: Path | None, key: Path | None, client_ca: Path | None, prefix: str) -> TlsFiles | None:
    """The files that settings with a prefix name; None for a server in the clear. Raises Invalid(`tls_incomplete`)."""
    if cert and key:
        return TlsFiles(cert, key, client_ca)
    if cert or key or client_ca:
        lacking = f"{prefix}{'KEY' if cert else 'CERT'}"
        message = "a certificate without its key" if cert else "a key or a client CA without a certificate"
        accepted = "certificate and key, as PEM files; or neither, for a server in the clear"
        raise Invalid(message, code="tls_incomplete", field=lacking, accepted=accepted)
    return None


def load(files: TlsFiles, prefix: str) -> Tls:
    """What the files have in them, once a client in memory has accepted it.

    Raises Invalid, with the setting that names the file: `tls_file_unreadable`, `tls_file_invalid`,
    `tls_key_mismatch`, or `tls_certificate_refused` for one that has expired or is not valid yet.
    """
    cert, key = _read(files.cert, f"{prefix}CERT"), _read(files.key, f"{prefix}KEY")
    client_ca = None if files.client_ca is None else _read(files.client_ca, f"{prefix}CLIENT_CA")
    server = _server_of(files, prefix)
    if files.client_ca is not None:
        _take_ca(server, files.client_ca, f"{prefix}CLIENT_CA")
        server.verify_mode = ssl.CERT_NONE  # the client in memory has none
    shown = _shown_to_client(server, files.cert, f"{prefix}CERT")
    names = tuple(str(name) for kind, name in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    return Tls(cert, key, client_ca, names, end_of(shown))


def _read(path: Path, setting: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Invalid(
            f"{path} cannot be read: {error.strerror}",
            code="tls_file_unreadable",
            field=setting,
            accepted="a file that the user of this process may read",
        ) from None
    if len(content) > FILE_BYTES_MAX:
        raise _no_pem(path, setting, f"it is larger than {FILE_BYTES_MAX} bytes")
    return content


def _server_of(files: TlsFiles, prefix: str) -> ssl.SSLContext:
    _take_ca(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), files.cert, f"{prefix}CERT")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(files.cert, files.key, password=lambda: "")  # nobody is there to be asked for one
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Invalid(
                f"{files.key} is not the key of {files.cert}",
                code="tls_key_mismatch",
                field=f"{prefix}KEY",
                accepted="the key that the certificate was asked for with; its own certificate first in the file",
            ) from None
        raise _no_pem(files.key, f"{prefix}KEY", "it has no key that can be used") from None
    return server


def _take_ca(context: ssl.SSLContext, path: Path, setting: str) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise _no_pem(path, setting, "it has no certificate") from None


def _shown_to_client(server: ssl.SSLContext, cert: Path, setting: str) -> dict[str, Any]:
    """The certificate as a client sees it that trusts its file; raises Invalid(`tls_certificate_refused`)."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # who signed it may not be in the file
    client.load_verify_locations(cert)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    asked = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(HANDSHAKE_TURNS_MAX):
            if all([_turn(asking), _turn(asked)]):
                break
    except ssl.SSLError as error:
        told = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error.reason)
        raise refused(str(cert), told, setting) from None
    return asking.getpeercert() or {}


def refused(what: str, why: str, setting: str) -> Invalid:
    """The error for a certificate that no client would accept."""
    return Invalid(
        f"clients would refuse {what}: {why}",
        code="tls_certificate_refused",
        field=setting,
        accepted="a certificate that is valid now: renew it, or mend this machine's clock",
    )


def end_of(shown: dict[str, Any]) -> datetime:
    """Until when a certificate is valid, as `getpeercert` tells of it."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)


def _turn(side: ssl.SSLObject) -> bool:
    """One side's next step of a handshake; whether it has ended."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _no_pem(path: Path, setting: str, why: str) -> Invalid:
    return Invalid(
        f"{path} cannot be used: {why}",
        code="tls_file_invalid",
        field=setting,
        accepted="PEM, as in -----BEGIN CERTIFICATE----- or -----BEGIN PRIVATE KEY-----, without a password",
    )
