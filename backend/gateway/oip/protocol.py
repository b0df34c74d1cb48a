"""Routes of the Open Inference Protocol v2 over HTTP: plain Starlette, in front of everything."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from backend.domain import serving
from backend.domain.errors import Unavailable
from backend.gateway.callers import caller, face_of_tier, let_in
from backend.gateway.disconnects import ClientGone, while_connected
from backend.gateway.gateway import Gateway
from backend.gateway.oip.inference import infer
from backend.gateway.oip.payload import body_of
from backend.gateway.oip.replies import json_reply
from backend.gateway.oip.repository import asked_model, repository_routes

SERVER_NAME = "swarmex"
CLIENT_GONE_STATUS = 499  # for the log: nobody reads it


def protocol_routes() -> list[Route]:
    """All routes below /v2; they find their gateway in the application's state."""
    model = "/v2/models/{model}"
    version = "/v2/models/{model}/versions/{version}"
    return [
        *(Route(f"{path}/infer", _Infer(), methods=["POST"]) for path in (model, version)),  # asked most, tried first
        *repository_routes(),
        *(Route(f"{path}/ready", _model_ready, methods=["GET"]) for path in (model, version)),
        *(Route(path, _model, methods=["GET"]) for path in (model, version)),
        Route("/v2", _server, methods=["GET"]),
        Route("/v2/health/live", _live, methods=["GET"]),
        Route("/v2/health/ready", _ready, methods=["GET"]),
    ]


class _Infer:
    """The route that is asked most, as an application: nothing is put around it, as it would be around a function."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await _infer(scope, receive)
        await response(scope, receive, send)


async def _infer(scope: Scope, receive: Receive) -> Response:
    gateway = _gateway(scope)
    headers = _headers(scope)
    principal = await caller(gateway.keys, scope, headers)
    await let_in(gateway.rates, principal, face_of_tier(headers), scope, headers)
    path = scope["path_params"]
    model = await gateway.models.get(path["model"], path.get("version"))
    body = await body_of(receive)
    try:
        return await while_connected(scope, infer(gateway, principal, model, headers, body))
    except ClientGone:
        return Response(status_code=CLIENT_GONE_STATUS)


def _headers(scope: Scope) -> Mapping[str, str]:
    """The first of each name, as Starlette reads them, which looks through all of them at every question."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


async def _model(request: Request) -> Response:
    model = await asked_model(request)
    return json_reply(serving.model_metadata(model.name, model.versions, model.signature))


async def _model_ready(request: Request) -> Response:
    model = await asked_model(request)
    return json_reply({"name": model.name, "ready": True})


async def _server(request: Request) -> Response:  # noqa: ARG001  # a route is given its request
    return json_reply(serving.server_metadata(SERVER_NAME))


async def _live(request: Request) -> Response:  # noqa: ARG001  # a route is given its request
    return json_reply({"live": True})


async def _ready(request: Request) -> Response:
    try:
        _gateway(request.scope).changes.require_fresh()
    except Unavailable:
        return json_reply({"ready": False}, 503)
    return json_reply({"ready": True})


def _gateway(scope: Scope) -> Gateway:
    gateway: Gateway = scope["app"].state.gateway
    return gateway
