"""The middleware that tells each caller how much of their limits is left, and ends the visit with the answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.domain.rates import body_tokens
from backend.gateway.callers import VISIT_KEY


class RateHeaders:
    """Adds the RateLimit fields to the answers of whoever was known; a request is under way until it is answered.

    A body that comes in chunks, and so did not declare its length, is charged when it is over.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunked, size = any(name == b"transfer-encoding" for name, _ in scope["headers"]), 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start" and (visit := scope.get(VISIT_KEY)) is not None:
                message["headers"] = [*message["headers"], *visit.headers()]
            await send(message)

        try:
            await self._app(scope, counted if chunked else receive, send_with_limits)
        finally:
            if (visit := scope.get(VISIT_KEY)) is not None:
                visit.charge(body_tokens(size) - 1)
                visit.leave()
