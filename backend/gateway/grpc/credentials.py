"""The server's certificate, which is read again when its files change: a renewal needs no restart."""

from pathlib import Path

import grpc
import structlog

from backend.domain.errors import Invalid
from backend.gateway.certificates import Tls, TlsFiles, load

PREFIX = "SWARMEX_GRPC_"

log = structlog.get_logger("swarmex.grpc")


def credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """What a server proves itself with, and asks clients for; raises what `certificates.load` does."""
    renewing = _Renewing(files)
    return grpc.dynamic_ssl_server_credentials(
        renewing.first, renewing.changed, require_client_authentication=files.client_ca is not None
    )


class _Renewing:
    """What the files have in them; `changed` is asked by the server's own threads, before each handshake."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = self._stamps()
        self.first = _configuration(load(files, PREFIX))

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What they have in them now, if that is something else; of what cannot be used the one before stays."""
        stamps = self._stamps()
        if stamps == self._seen:
            return None
        self._seen = stamps
        try:
            tls = load(self._files, PREFIX)
        except Invalid as error:
            log.warning("grpc.certificate_not_renewed", code=error.code, error=error.message)
            return None
        log.info("grpc.certificate_renewed", names=tls.names, ends_at=tls.ends_at.isoformat())
        return _configuration(tls)

    def _stamps(self) -> list[tuple[int, int]]:
        return [_stamp(path) for path in (self._files.cert, self._files.key, self._files.client_ca) if path]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_mtime_ns, found.st_ino


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.cert)], tls.client_ca)
