"""What routes ask for by type: the wired market, the time, the caller, the idempotency key."""

import hashlib
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Request

from backend.bootstrap import Swarmex, utc_now
from backend.domain.idempotency import KEY_CHARS_MAX, Idempotency
from backend.gateway.gateway import Gateway


async def _swarmex(request: Request) -> Swarmex:
    market: Swarmex = request.app.state.swarmex
    return market


async def gateway_of(request: Request) -> Gateway:
    """The gateway of this process, which also knows the callers."""
    gateway: Gateway = request.app.state.gateway
    return gateway


async def _now() -> datetime:
    return utc_now()


async def _idempotency(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(description=f"1 to {KEY_CHARS_MAX} printable ASCII characters; a repeat gets the first answer."),
    ] = None,
) -> Idempotency | None:
    """The caller's key with a digest of route and body, so that a key cannot be reused for something else."""
    if idempotency_key is None:
        return None
    digest = hashlib.sha256(request.url.path.encode() + b"\n" + await request.body())
    return Idempotency(idempotency_key, digest.digest())


Market = Annotated[Swarmex, Depends(_swarmex)]
Now = Annotated[datetime, Depends(_now)]
Once = Annotated[Idempotency | None, Depends(_idempotency)]
