"""Webhooks that accounts name themselves: signed POSTs that cannot be turned against the market's own network.

Only https, and no address that is not public: names are resolved here, and what was checked is what is connected to.
Hosts that the operator allowed may also be private, or plain http. Redirects are not followed; of the answer nothing
but the status is read. There is no breaker: each delivery's own pauses, which double, spare a receiver that is away.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backend.messaging.webhook import TAKEN, Outcome

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

TIMEOUT_S = 5.0
SECRET_PREFIX = "whsec_"  # noqa: S105  a prefix
# What carries an IPv4 address inside that somebody on the way may go to, and addresses of one site.
_INWARD = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96", "fec0::/10", "2001::/32"))
)


@dataclass(frozen=True, slots=True)
class Call:
    """One POST; `sent_s` is seconds since 1970."""

    id: str
    url: str
    secret: str = field(repr=False)
    body: bytes = field(repr=False)
    sent_s: int = 0


class NotAllowed(OSError):
    """An address that accounts may not have us call."""


def signature(secret: str, call_id: str, sent_s: int, body: bytes) -> str:
    """`v1,<base64 HMAC-SHA256 of "<id>.<seconds>.<body>">` (Standard Webhooks 1.0)."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.new(key, f"{call_id}.{sent_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet's, also the one that it may carry inside."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return inner.is_global and not inner.is_multicast
        if any(ip in network for network in _INWARD):
            return False
    return ip.is_global and not ip.is_multicast


class AccountWebhooks:
    """Sends from any thread; `allowed_hosts` are those that the operator lets be private or plain http."""

    def __init__(self, allowed_hosts: Collection[str] = (), timeout_s: float = TIMEOUT_S) -> None:
        self._allowed = {host.lower() for host in allowed_hosts}
        self._timeout_s = timeout_s

    def send(self, calls: Sequence[Call]) -> list[Outcome]:
        """Post all of them at once; returns within the time-out, and never raises for what a receiver does."""
        return asyncio.run(self._send(calls)) if calls else []

    def check(self, url: str) -> None:
        """Raise NotAllowed for an address that needs no look-up to be refused."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if host in self._allowed:
            return
        if parts.scheme != "https":
            raise NotAllowed("only https is called")
        try:
            public = is_public(host)
        except ValueError:
            return  # a name
        if not public:
            raise NotAllowed("the address is not public")

    async def _send(self, calls: Sequence[Call]) -> list[Outcome]:
        import aiohttp  # slow to import, and seldom needed
        from aiohttp.abc import AbstractResolver
        from aiohttp.resolver import ThreadedResolver

        allowed = self._allowed

        class PublicOnly(AbstractResolver):
            def __init__(self) -> None:
                self._inner = ThreadedResolver()

            async def resolve(
                self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
            ) -> "list[ResolveResult]":
                found = await self._inner.resolve(host, port, family)
                if host.lower() not in allowed and not all(is_public(one["host"]) for one in found):
                    raise NotAllowed("the address is not public")
                return found

            async def close(self) -> None:
                await self._inner.close()

        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        connector = aiohttp.TCPConnector(resolver=PublicOnly(), use_dns_cache=False)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:

            async def attempt(call: Call) -> Outcome:
                headers = {
                    "Content-Type": "application/json",
                    "User-Agent": "swarmex",
                    "webhook-id": call.id,
                    "webhook-timestamp": str(call.sent_s),
                    "webhook-signature": signature(call.secret, call.id, call.sent_s, call.body),
                }
                try:
                    self.check(call.url)
                    async with session.post(call.url, data=call.body, headers=headers, allow_redirects=False) as answer:
                        status = answer.status
                except NotAllowed as error:
                    return Outcome(False, error=str(error))
                except TimeoutError:
                    return Outcome(False, error=f"no answer within {self._timeout_s:g} s")
                except (aiohttp.ClientError, OSError, ValueError) as error:
                    return Outcome(False, error=type(error).__name__)
                return Outcome(status in TAKEN, status, None if status in TAKEN else f"answered {status}")

            return await asyncio.gather(*map(attempt, calls))
