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

from backend.messaging.look_ups import look_up
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


def _resolved(host: str, port: int, address: str) -> "ResolveResult":
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    number = socket.AI_NUMERICHOST
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": number}


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
        from yarl import URL

        try:
            parts = URL(url)
        except ValueError as error:
            raise NotAllowed("the address cannot be read") from error
        host = parts.raw_host or ""  # as it is dialled: 127.0.0.1 has many spellings that are no addresses yet
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

        allowed = self._allowed

        class PublicOnly(AbstractResolver):
            async def resolve(
                self,
                host: str,
                port: int = 0,
                family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002  asked for all
            ) -> "list[ResolveResult]":
                found = await asyncio.wrap_future(look_up(host, port))
                if host.lower() not in allowed and not all(map(is_public, found)):
                    raise NotAllowed("the address is not public")
                return [_resolved(host, port, address) for address in found]

            async def close(self) -> None:
                pass

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
