"""Connections to strangers, by httpcore: the whole of a call has one time-out, and private addresses may be left out.

The time-outs of the usual clients are between two pieces of an answer, so that a server which sends a byte now and then
would hold a thread for ever. Where an address is looked at, it is that one which is connected to.
"""

import ssl
import time
from collections.abc import Iterable
from threading import local
from typing import Any

import httpcore

from backend.domain.errors import Forbidden
from backend.messaging.account_webhooks import is_public
from backend.messaging.look_ups import look_up

RESOLVED_S = 30.0  # so long an address that was checked is connected to again
PIECE_BYTES = 16 << 10


class AddressNotAllowed(Forbidden):
    """An address that is not to be called for whoever named it."""

    code = "address_not_allowed"


def not_public() -> AddressNotAllowed:
    """The error for what is called for admins only."""
    accepted = "https and a public address; admins may name any"
    return AddressNotAllowed("the address is not public", field="url", accepted=accepted)


_call: Any = local()  # `ends_s`: when the call of this thread is over, of `monotonic`


def begin_call(timeout_s: float) -> None:
    """A call of this thread begins, and is over after `timeout_s` whatever happens."""
    _call.ends_s = time.monotonic() + timeout_s


def _left_s(timeout_s: float | None) -> float:
    left_s: float = _call.ends_s - time.monotonic()
    return max(0.001, left_s if timeout_s is None else min(left_s, timeout_s))


def _look_up(host: str, port: int) -> list[str]:
    """The addresses of a name; raises ConnectError, and ConnectTimeout when the call is over."""
    try:
        return look_up(host, port).result(_left_s(None))
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("its name is not found in time") from error
    except OSError as error:
        raise httpcore.ConnectError(f"no address: {error}") from error


class BoundedNetwork(httpcore.NetworkBackend):
    """Connections that know when their call is over."""

    def __init__(self, *, public_only: bool) -> None:
        self._inner = httpcore.SyncBackend()
        self._public_only = public_only
        self._checked: dict[tuple[str, int], tuple[float, str]] = {}

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the host, by an address that was looked at."""
        try:
            address = self._public(host, port) if self._public_only else host
            return _Bounded(self._inner.connect_tcp(address, port, _left_s(timeout), local_address, socket_options))
        except UnicodeError as error:  # how Python says that a name cannot be looked up
            raise httpcore.ConnectError(f"no name: {error}") from error

    def _public(self, host: str, port: int) -> str:
        known = self._checked.get((host, port))
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        found = _look_up(host, port)
        if not found or not all(map(is_public, found)):
            raise not_public()
        self._checked[host, port] = time.monotonic() + RESOLVED_S, found[0]
        return found[0]


class _Bounded(httpcore.NetworkStream):
    """A connection of which no call takes longer than it may."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes; raises ReadTimeout when the call is over."""
        if time.monotonic() >= _call.ends_s:
            raise httpcore.ReadTimeout("the call took too long")
        return self._inner.read(max_bytes, _left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it; raises WriteTimeout when the call is over."""
        for start in range(0, len(buffer), PIECE_BYTES):  # the time-out of what is below begins anew with each piece
            if time.monotonic() >= _call.ends_s:
                raise httpcore.WriteTimeout("the call took too long")
            self._inner.write(buffer[start : start + PIECE_BYTES], _left_s(timeout))

    def close(self) -> None:
        """Hang up."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same, encrypted."""
        return _Bounded(self._inner.start_tls(ssl_context, server_hostname, _left_s(timeout)))

    def get_extra_info(self, info: str) -> Any:
        """What the socket tells."""
        return self._inner.get_extra_info(info)
