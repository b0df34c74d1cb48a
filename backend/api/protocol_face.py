"""The protocol's routes as an application of their own: plain Starlette, their refusals in the protocol's words."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api import errors
from backend.domain.errors import SwarmexError


class ProtocolFace:
    """Answers what is below /v2; whoever serves it bounds the request.

    Their parameters are plain words, so that a request for one of the routes needs no router, only what it refuses or
    redirects. The route leaves itself in the scope, as FastAPI's do: logs, figures and traces go by it.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._router = Router(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self._router
        for route in self._routes:
            match = route.path_regex.match(scope["path"])
            if match and route.methods and scope["method"] in route.methods:
                app, scope["route"], scope["path_params"] = route.app, route, match.groupdict()
                break
        try:
            await app(scope, receive, send)
        except SwarmexError as error:
            response = errors.answer(Request(scope), error)
        except HTTPException as error:
            response = errors.rejected(Request(scope), error)
        else:
            return
        await response(scope, receive, send)


class Faces:
    """Hands requests below /v2 to the protocol's application, all others to the market's."""

    def __init__(self, protocol: ASGIApp, market: ASGIApp) -> None:
        self._protocol = protocol
        self._market = market

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        protocol = scope["type"] == "http" and scope["path"].startswith(errors.PROTOCOL_PREFIX)
        await (self._protocol if protocol else self._market)(scope, receive, send)
