"""Calls to an inference server that is not ours: one time-out over all of a call, bounded answers, no redirects."""

import ssl
import time
from collections.abc import Mapping
from random import random

import httpcore

from backend.domain.backoff import delay_s
from backend.domain.errors import SwarmexError, Unavailable
from backend.messaging.bounded_network import AddressNotAllowed, BoundedNetwork, begin_call
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy

CONNECT_TIMEOUT_S = 2.0
CALL_S_MAX = 60.0
ANSWER_BYTES_MAX = 16 << 20  # as the gateway's: JSON takes up to thirty times as much memory when it is read
CONNECTIONS_MAX = 32
KEEP_ALIVE_S = 2.0  # below what servers keep: a request into a connection that is just being closed would be lost
ATTEMPTS_MAX = 2  # of a call that did not arrive, or found no place
NO_PLACE = (429, 503)
BROKEN_GATEWAYS = (502, 504)  # said in front of a server that may have run it
TOLD_CHARS_MAX = 200
# Raised before a whole request has left, so the server cannot have run it; anything later may have been.
NEVER_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout, httpcore.WriteError)


class ServerAway(Unavailable):
    """The server was not reached, or has no place: nothing was run."""

    code = "inference_server_away"


class ServerBroke(Unavailable):
    """The server broke off, was too slow or answered beyond all bounds: nobody knows what was run."""

    code = "inference_server_broke"


class ServerRefused(SwarmexError):
    """What the server answered instead of what was asked for."""

    code = "inference_server_refused"

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"the server answered {status}: {said}")
        self.status = status


BREAKER_POLICY = BreakerPolicy(fail_max=5, recovery_s=2.0, exclude=(ServerRefused, AddressNotAllowed))


class InferenceServer:
    """Calls from any thread; `authorization` is shown to this server only, and never told."""

    def __init__(
        self, url: str, authorization: str | None, breaker: Breaker | None = None, *, public_only: bool = False
    ) -> None:
        self.url = url
        self._headers = {"Accept-Encoding": "identity", "Accept": "*/*", "User-Agent": "swarmex"}
        self._headers |= {"Host": url.partition("://")[2]}
        self._headers |= {"Authorization": authorization} if authorization else {}
        self._breaker = breaker
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context() if url.startswith("https:") else None,
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=BoundedNetwork(public_only=public_only),
        )

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = CALL_S_MAX,
        bytes_max: int = ANSWER_BYTES_MAX,
        attempts: int = ATTEMPTS_MAX,
    ) -> tuple[dict[str, str], bytes]:
        """The answer's headers, by names in lower case, and its body.

        Raises ServerAway, ServerBroke, ServerRefused, AddressNotAllowed.
        """
        for attempt in range(1, attempts + 1):
            try:
                return self._guarded(method, path, body, headers or {}, timeout_s, bytes_max)
            except ServerAway:
                if attempt == attempts:
                    raise
                time.sleep(delay_s(attempt, random()))  # noqa: S311  # jitter, not a secret
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Drop all connections."""
        self._pool.close()

    def _guarded(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float, bytes_max: int
    ) -> tuple[dict[str, str], bytes]:
        if self._breaker is None:
            return self._call(method, path, body, headers, timeout_s, bytes_max)
        try:
            with self._breaker.calling():
                return self._call(method, path, body, headers, timeout_s, bytes_max)
        except BreakerOpen as error:
            raise ServerAway(f"{self.url} has not answered lately", accepted="try again") from error

    def _call(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float, bytes_max: int
    ) -> tuple[dict[str, str], bytes]:
        content = bytearray()
        length = {"Content-Length": str(len(body))} if body is not None else {}
        begin_call(timeout_s)
        timeouts = {"pool": min(CONNECT_TIMEOUT_S, timeout_s), "connect": min(CONNECT_TIMEOUT_S, timeout_s)}
        timeouts |= {"read": timeout_s, "write": timeout_s}
        try:
            with self._pool.stream(
                method,
                self.url + path,
                headers=list((self._headers | dict(headers) | length).items()),
                content=body,
                extensions={"timeout": timeouts},
            ) as answer:
                for chunk in answer.iter_stream():
                    content += chunk
                    if len(content) > bytes_max:
                        raise ServerRefused(answer.status, f"more than {bytes_max} bytes, which is too large")
        except NEVER_SENT as error:
            raise ServerAway(f"{self.url} does not answer: {_said(error)}"[:TOLD_CHARS_MAX]) from error
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise ServerBroke(f"{self.url} broke off: {_said(error)}"[:TOLD_CHARS_MAX]) from error
        if answer.status in NO_PLACE:
            raise ServerAway(f"{self.url} answered {answer.status}", accepted="try again")
        if answer.status in BROKEN_GATEWAYS:
            raise ServerBroke(f"{self.url} answered {answer.status}")
        if not 200 <= answer.status < 300:
            said = bytes(content[:TOLD_CHARS_MAX]).decode("utf-8", "replace")
            raise ServerRefused(answer.status, said)
        return {name.decode().lower(): value.decode("latin-1") for name, value in answer.headers}, bytes(content)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
