"""The node's side of the Open Inference Protocol v2 (JSON): what the coordinator's gateway talks to.

Health is open to all; everything else wants the agent's token, which only the coordinator knows.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agents.engines.base import InferenceFailed
from agents.inference.admission import Admission, Draining, Full
from agents.inference.catalogue import ON_DEMAND_S, Catalogue
from agents.inference.execution import execute
from agents.inference.models import LoadedModels
from backend.domain.errors import Invalid, NotFound, SwarmexError, TooLarge, Unavailable
from backend.domain.work import ModelRef

REQUEST_BYTES_MAX = 16 << 20
BODY_TIMEOUT_S = 10.0
RETRY_AFTER_S = 1
CLIENT_GONE = 499
BUSY_HEADER = "Swarmex-Busy-Us"

log = structlog.get_logger(__name__)


Handler = Callable[[Request], Awaitable[Response]]


class OipApp:
    """The routes, and what they need; made inside the event loop that serves them."""

    def __init__(self, token: str, catalogue: Catalogue, models: LoadedModels, admission: Admission) -> None:
        self._authorization = f"Bearer {token}".encode()
        self._catalogue = catalogue
        self._models = models
        self.admission = admission
        model = "/v2/models/{name}"
        version = model + "/versions/{version}"
        self.asgi = Starlette(
            routes=[
                Route("/v2", self._guarded(self._server)),
                Route("/v2/health/live", self._live),
                Route("/v2/health/ready", self._ready),
                *(Route(base, self._guarded(self._model)) for base in (model, version)),
                *(Route(f"{base}/ready", self._guarded(self._model_ready)) for base in (model, version)),
                *(Route(f"{base}/infer", self._guarded(self._infer), methods=["POST"]) for base in (model, version)),
            ],
            exception_handlers={404: _no_route, 405: _no_route},
        )

    def _guarded(self, handler: Handler) -> Handler:
        """`handler` for those who show the token, with its errors as the protocol writes them."""

        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self._authorization):
                return _json({"error": "the agent's token is asked for"}, 401, {"WWW-Authenticate": "Bearer"})
            try:
                return await handler(request)
            except ClientDisconnect:
                return Response(status_code=CLIENT_GONE)
            except Exception as error:  # a model may break in any way
                return _error(error)

        return guarded

    async def _server(self, _request: Request) -> Response:
        return _json({"name": "swarmex-node", "version": "2", "extensions": []})

    async def _live(self, _request: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, _request: Request) -> Response:
        ready = not self.admission.draining
        return _json({"ready": ready}, 200 if ready else 503)

    async def _model(self, request: Request) -> Response:
        model = await self._find(request)
        versions = [str(version) for version in self._catalogue.versions(model.name)]
        metadata = {"name": model.name, "versions": versions, "platform": "onnxruntime_onnx"}
        return _json(metadata | model.signature.to_wire())

    async def _model_ready(self, request: Request) -> Response:
        model = await self._find(request)
        return _json({"name": model.name, "ready": True})

    async def _infer(self, request: Request) -> Response:
        body = await _read(request)
        model = await self._find(request)
        return await self._run(request, model, body)

    async def _run(self, request: Request, model: ModelRef, body: bytes) -> Response:
        """The answer, unless the client leaves first: then the work is not begun if it has not been."""
        answer = self.admission.submit(lambda: self._answer(model, body))
        gone = asyncio.ensure_future(_disconnected(request))
        either: set[asyncio.Future[Any]] = {answer, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else Response(status_code=CLIENT_GONE)
        finally:
            gone.cancel()
            answer.cancel()

    def _answer(self, model: ModelRef, body: bytes) -> Response:
        """In a thread of the pool, from bytes to bytes."""
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Invalid(f"the body is not JSON: {error}", accepted="an inference request") from None
        execution = execute(self._models.get(model), model.signature, request)
        answer: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
        if "id" in request:
            answer["id"] = request["id"]
        answer["outputs"] = execution.outputs
        return _json(answer, headers={BUSY_HEADER: str(execution.busy_us)})

    async def _find(self, request: Request) -> ModelRef:
        """The model of the path; an unknown one is looked up once more, since it may be new."""
        name, version = request.path_params["name"], request.path_params.get("version")
        if version is not None and not (version.isascii() and version.isdigit() and len(version) < 10):
            raise NotFound("model version", version[:40])
        number = None if version is None else int(version)
        model = self._catalogue.find(name, number)
        if model is None:
            await self.admission.submit(self._refresh)
            model = self._catalogue.find(name, number)
        if model is None:
            raise NotFound("model", name[:100] if number is None else f"{name[:100]} version {number}")
        return model

    def _refresh(self) -> None:
        try:
            self._catalogue.refresh(ON_DEMAND_S)
        except Exception as error:  # of any layer below
            raise Unavailable("the coordinator does not answer") from error


async def _read(request: Request) -> bytes:
    if "inference-header-content-length" in request.headers:
        raise Invalid("binary tensors are not spoken here", accepted="a JSON body")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > REQUEST_BYTES_MAX:
                    raise TooLarge("the request is too large", accepted=f"at most {REQUEST_BYTES_MAX} bytes")
    except TimeoutError:
        raise Invalid("the body did not arrive", accepted=f"all of it within {BODY_TIMEOUT_S:.0f} s") from None
    return bytes(body)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": f"no {request.method} {request.url.path[:100]} here"}, error.status_code)


def _error(error: Exception) -> Response:
    if isinstance(error, Full):
        return _json({"error": "all places are taken"}, 429, {"Retry-After": str(RETRY_AFTER_S)})
    if isinstance(error, Draining):
        return _json({"error": "the node is draining"}, 503, {"Retry-After": str(RETRY_AFTER_S)})
    if not isinstance(error, SwarmexError):
        log.error("oip.broke", error=repr(error), exc_info=error)
        return _json({"error": "the model broke"}, 500)
    text = f"{error.field}: {error.message}" if error.field else error.message
    if error.accepted:
        text += f" (accepted: {error.accepted})"
    return _json({"error": text}, _status(error))


def _status(error: SwarmexError) -> int:
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, Invalid):
        return 400
    # The rest is the node's fault: what it holds cannot be run, so another node may do better.
    return 500 if isinstance(error, InferenceFailed) else 503


def _json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
