"""Who sent a request: the bearer key in its header, checked against the cache of keys."""

from starlette.requests import Request

from backend.domain.access import Principal
from backend.domain.errors import Unauthenticated
from backend.gateway.keys import Keys

SCOPE_KEY = "swarmex.principal"  # where the access log finds whom a request came from


async def caller(keys: Keys, request: Request) -> Principal:
    """The caller; raises Unauthenticated, or Unavailable while keys cannot be checked."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("no API key", field="Authorization", accepted="Bearer followed by an API key")
    principal = await keys.principal(secret)
    request.scope[SCOPE_KEY] = principal
    return principal
