"""What the doctor looks at of the gRPC face: it runs where it is wanted, and can prove itself for long."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backend.cli import deployment
from backend.cli.findings import Finding, Verdict
from backend.domain.errors import SwarmexError
from backend.domain.fleet import AgentKind

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex

RENEW_BEFORE = timedelta(days=14)
WHAT = "grpc"


def examine_grpc(market: "Swarmex") -> Iterator[Finding]:
    """A finding for each server that lives; nothing on a market that has none and wants none."""
    from backend.services import fleet

    urls = deployment.endpoints(market, AgentKind.GRPC)
    if not urls and any(spec.kind is AgentKind.GRPC and spec.replicas for spec in fleet.desired(market.uow())):
        do = f"read {market.folder}/logs/grpc-0.log; `swarmex up --grpc` or `swarmex grpc` starts it"
        yield Finding(WHAT, Verdict.WRONG, "it does not run", do)
    for url in urls:
        yield _server(url)


def _server(url: str) -> Finding:
    from backend import bootstrap
    from backend.gateway.certificate_probe import require_listener, shown_until

    parts = urlsplit(url)
    assert parts.hostname is not None
    place = (parts.hostname, parts.port or 0)
    try:
        if parts.scheme != "grpcs":
            require_listener(place)
            return Finding(WHAT, Verdict.OK, f"listens at {url}, in the clear")
        left = shown_until(place) - bootstrap.utc_now()
    except SwarmexError as error:
        return Finding(
            WHAT, Verdict.WRONG, f"{url}: {error.message}", f"{error.accepted}; `swarmex agents logs grpc-0`"
        )
    told = f"listens at {url}, its certificate is valid for {left.days} more days"
    if left < RENEW_BEFORE:
        do = (
            "renew the files of SWARMEX_GRPC_CERT and SWARMEX_GRPC_KEY: a server that is a process reads them by itself"
        )
        return Finding(WHAT, Verdict.NOTE, told, do)
    return Finding(WHAT, Verdict.OK, told)
