"""Routes of the Open Inference Protocol v2 over HTTP with JSON tensors: plain Starlette, in front of everything."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend.domain.errors import Unavailable
from backend.gateway.callers import caller
from backend.gateway.disconnects import ClientGone, while_connected
from backend.gateway.gateway import Gateway
from backend.gateway.inference import infer
from backend.gateway.replies import json_reply

SERVER = {"name": "swarmex", "version": "1", "extensions": []}
CLIENT_GONE_STATUS = 499  # for the log: nobody reads it


def protocol_routes() -> list[Route]:
    """All routes below /v2; they find their gateway in the application's state."""
    model = "/v2/models/{model}"
    version = "/v2/models/{model}/versions/{version}"
    return [
        *(Route(f"{path}/infer", _infer, methods=["POST"]) for path in (model, version)),
        *(Route(f"{path}/ready", _model_ready, methods=["GET"]) for path in (model, version)),
        *(Route(path, _model, methods=["GET"]) for path in (model, version)),
        Route("/v2", _server, methods=["GET"]),
        Route("/v2/health/live", _live, methods=["GET"]),
        Route("/v2/health/ready", _ready, methods=["GET"]),
    ]


async def _infer(request: Request) -> Response:
    gateway = _gateway(request)
    principal = await caller(gateway.keys, request)
    model = await gateway.models.get(request.path_params["model"], request.path_params.get("version"))
    await request.body()  # whatever arrives after the body is the client's leaving
    try:
        return await while_connected(request, infer(gateway, principal, model, request))
    except ClientGone:
        return Response(status_code=CLIENT_GONE_STATUS)


async def _model(request: Request) -> Response:
    gateway = _gateway(request)
    await caller(gateway.keys, request)
    model = await gateway.models.get(request.path_params["model"], request.path_params.get("version"))
    about = {"name": model.name, "versions": [str(v) for v in model.versions], "platform": "onnx_onnxruntime"}
    return json_reply({**about, **model.signature.to_wire()})


async def _model_ready(request: Request) -> Response:
    gateway = _gateway(request)
    await caller(gateway.keys, request)
    model = await gateway.models.get(request.path_params["model"], request.path_params.get("version"))
    return json_reply({"name": model.name, "ready": True})


async def _server(request: Request) -> Response:  # noqa: ARG001  # a route is given its request
    return json_reply(SERVER)


async def _live(request: Request) -> Response:  # noqa: ARG001  # a route is given its request
    return json_reply({"live": True})


async def _ready(request: Request) -> Response:
    try:
        _gateway(request).changes.require_fresh()
    except Unavailable:
        return json_reply({"ready": False}, 503)
    return json_reply({"ready": True})


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway
