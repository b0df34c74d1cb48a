"""Who sent a request: the bearer key in its header, checked against the cache of keys, and let in by its limits."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import Scope

from backend.domain.access import Principal
from backend.domain.errors import Unauthenticated
from backend.domain.rates import Face, body_tokens
from backend.domain.tiers import TierName
from backend.gateway.keys import Keys
from backend.gateway.rates.rates import Rates
from backend.messaging.spans import span

SCOPE_KEY = "swarmex.principal"  # where the access log finds whom a request came from
VISIT_KEY = "swarmex.visit"  # where the middleware finds what is left of their limits
DIGITS_MAX = 19  # of a declared length; what is longer was refused before
TIER_HEADER = "swarmex-tier"
FACES = {tier.value: Face(tier) for tier in TierName}


async def caller(keys: Keys, scope: Scope, headers: Mapping[str, str]) -> Principal:
    """The caller; raises Unauthenticated, or Unavailable while keys cannot be checked."""
    client = scope.get("client")
    principal = await principal_of(keys, headers.get("authorization", ""), client[0] if client else None)
    scope[SCOPE_KEY] = principal
    return principal


async def reader(keys: Keys, rates: Rates, request: Request) -> Principal:
    """The caller of what only tells something, counted as a request to the market's API; raises what both do."""
    principal = await caller(keys, request.scope, request.headers)
    await let_in(rates, principal, Face.API, request.scope, request.headers)
    return principal


async def principal_of(keys: Keys, authorization: str, address: str | None) -> Principal:
    """Whose key is shown, from that address; raises what `caller` does."""
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("no API key", field="Authorization", accepted="Bearer followed by an API key")
    with span("gateway.authenticate"):
        return await keys.principal(secret, address)


async def let_in(rates: Rates, principal: Principal, face: Face, scope: Scope, headers: Mapping[str, str]) -> None:
    """Count a request against its caller's limits until it is answered; its body costs tokens by its declared length.

    Raises RateLimited, or TooLarge for a body that costs more than a minute's limit. A second time changes nothing.
    """
    if VISIT_KEY in scope:
        return
    with span("gateway.limits", swarmex__face=face):
        visit = scope[VISIT_KEY] = await rates.visit(principal, face)
        declared = headers.get("content-length", "")
        await visit.enter(body_tokens(int(declared[:DIGITS_MAX]) if declared.isdecimal() else 0))


def face_of_tier(headers: Mapping[str, str]) -> Face:
    """The face of the tier that a real-time request names; medium, the default, for what will be refused as a tier."""
    return face_named(headers.get(TIER_HEADER, ""))


def face_named(tier: str) -> Face:
    """The face of a tier by its name, else medium."""
    return FACES.get(tier, Face.MEDIUM)
