"""Lets plain Starlette routes say which they are, as FastAPI's own do: logs, figures and traces go by route."""

from collections.abc import Sequence

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


def named(routes: Sequence[Route]) -> Sequence[Route]:
    """The same routes, which leave themselves in the scope of what they answer."""
    for route in routes:
        route.app = _Named(route, route.app)
    return routes


class _Named:
    def __init__(self, route: Route, app: ASGIApp) -> None:
        self._route = route
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._route
        await self._app(scope, receive, send)
