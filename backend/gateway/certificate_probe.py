"""What a server shows to whoever dials it: that it listens, and until when its certificate is valid."""

import socket
import ssl
from datetime import datetime

from backend.domain.errors import Unavailable
from backend.gateway.certificates import end_of, refused

DIAL_TIMEOUT_S = 2.0


def require_listener(place: tuple[str, int]) -> None:
    """Raise Unavailable(`nobody_listens`) when no connection can be made to a host and port."""
    _dialled(place).close()


def shown_until(place: tuple[str, int]) -> datetime:
    """Until when the certificate is valid that is shown at a host and port, whoever signed it.

    Raises Unavailable(`nobody_listens`), or Invalid(`tls_certificate_refused`) for one that is not valid now.
    """
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    with _greeted(place, anybody) as seen:
        shown = seen.getpeercert(binary_form=True) or b""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=shown)
    with _greeted(place, client) as trusted:
        return end_of(trusted.getpeercert() or {})


def _dialled(place: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_connection(place, DIAL_TIMEOUT_S)
    except OSError as error:
        raise _nobody(place, error.strerror or str(error)) from None


def _greeted(place: tuple[str, int], client: ssl.SSLContext) -> ssl.SSLSocket:
    dialled = _dialled(place)
    try:
        return client.wrap_socket(dialled, server_hostname=place[0])
    except ssl.SSLCertVerificationError as error:
        dialled.close()
        raise refused(f"{place[0]} port {place[1]}", error.verify_message, "cert") from None
    except OSError as error:  # also what is no TLS
        dialled.close()
        raise _nobody(place, str(error)) from None


def _nobody(place: tuple[str, int], why: str) -> Unavailable:
    message = f"nobody answers as expected at {place[0]} port {place[1]}: {why}"
    return Unavailable(message, code="nobody_listens", accepted="a server that runs there")
