"""The node's side of the Open Inference Protocol v2, raw tensors included: what the coordinator's gateway talks to.

Health is open to all; everything else wants the agent's token, which only the coordinator knows.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agents.inference.admission import Admission
from agents.inference.batcher import BatchCounts, Batcher
from agents.inference.catalogue import ON_DEMAND_S, Catalogue
from agents.inference.model_files import ModelFiles
from agents.inference.models import LoadedModels
from agents.inference.oip_replies import error_reply, json_reply, no_route, tensor_reply
from agents.inference.oip_repository import NodeStatistics, Repository
from agents.inference.oip_tracing import answered, entered
from backend.domain import serving
from backend.domain.errors import Invalid, NotFound, Unavailable
from backend.domain.tensors import HEADER_LENGTH, read_id, read_inputs, read_wishes, render, rows_of, split_body
from backend.domain.tiers import TierName
from backend.domain.urgency import TIER_HEADER, tier_named
from backend.domain.work import ModelRef
from backend.gateway.disconnects import ClientGone, while_connected
from backend.gateway.oip.payload import body_of

REQUEST_BYTES_MAX = 16 << 20
BODY_TIMEOUT_S = 10.0
SERVER_NAME = "swarmex-node"
CLIENT_GONE = 499
BUSY_HEADER = "Swarmex-Busy-Us"

Body = bytes | memoryview
Handler = Callable[[Request], Awaitable[Response]]


class OipApp:
    """The routes, and what they need; made inside the event loop that serves them."""

    def __init__(
        self,
        token: str,
        catalogue: Catalogue,
        models: LoadedModels,
        admission: Admission,
        batches: BatchCounts | None = None,
    ) -> None:
        self._authorization = f"Bearer {token}".encode()
        self._catalogue = catalogue
        self.admission = admission
        self._batcher = Batcher(models, admission, batches)
        self.statistics = NodeStatistics()
        self._looking = asyncio.Lock()
        model = "/v2/models/{name}"
        version = model + "/versions/{version}"
        self.asgi = Starlette(
            routes=[  # tried in this order, so what is asked most comes first
                *(Route(f"{base}/infer", self._guarded(self._infer), methods=["POST"]) for base in (model, version)),
                Route("/v2", self._guarded(self._server)),
                Route("/v2/health/live", self._live),
                Route("/v2/health/ready", self._ready),
                ModelFiles(models.cache, token).route,
                *Repository(catalogue, models, admission, self._find, _read, self.statistics).routes(self._guarded),
                *(Route(base, self._guarded(self._model)) for base in (model, version)),
                *(Route(f"{base}/ready", self._guarded(self._model_ready)) for base in (model, version)),
            ],
            exception_handlers={404: no_route, 405: no_route},
        )

    def _guarded(self, handler: Handler) -> Handler:
        """`handler` for those who show the token, with its errors as the protocol writes them."""

        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self._authorization):
                return json_reply({"error": "the agent's token is asked for"}, 401, {"WWW-Authenticate": "Bearer"})
            with entered(request) as span:
                try:
                    response = await handler(request)
                except ClientDisconnect:
                    return Response(status_code=CLIENT_GONE)
                except Exception as error:  # a model may break in any way
                    response = error_reply(error)
                answered(span, response, BUSY_HEADER)
                return response

        return guarded

    async def _server(self, _request: Request) -> Response:
        return json_reply(serving.server_metadata(SERVER_NAME))

    async def _live(self, _request: Request) -> Response:
        return json_reply({"live": True})

    async def _ready(self, _request: Request) -> Response:
        ready = not self.admission.draining
        return json_reply({"ready": ready}, 200 if ready else 503)

    async def _model(self, request: Request) -> Response:
        model = await self._find(request)
        return json_reply(serving.model_metadata(model.name, self._catalogue.versions(model.name), model.signature))

    async def _model_ready(self, request: Request) -> Response:
        model = await self._find(request)
        return json_reply({"name": model.name, "ready": True})

    async def _infer(self, request: Request) -> Response:
        body = await _read(request)
        model = await self._find(request)
        return await self._run(request, model, body)

    async def _run(self, request: Request, model: ModelRef, body: Body) -> Response:
        """The answer, unless the client leaves first: then the work is not begun if it has not been."""
        told = request.headers
        work = self._answer(model, body, told.get(HEADER_LENGTH), tier_named(told.get(TIER_HEADER)))
        try:
            return await while_connected(request.scope, work)
        except ClientGone:
            return Response(status_code=CLIENT_GONE)

    async def _answer(self, model: ModelRef, body: Body, header_length: str | None, tier: TierName) -> Response:
        """From bytes to bytes; the model runs in a thread of the pool."""
        header, buffers = split_body(body, header_length)
        try:
            request = orjson.loads(header)
        except orjson.JSONDecodeError as error:
            raise Invalid(f"the body is not JSON: {error}", accepted="an inference request") from None
        inputs = {given.spec.name: given.array() for given in read_inputs(request, model.signature, buffers)}
        wishes, identity = read_wishes(request, model.signature), read_id(request)
        started = time.perf_counter_ns()
        try:
            execution = await self._batcher.run(model, inputs, tier)
        except Exception:
            self.statistics.failed(model, time.perf_counter_ns() - started)
            raise
        rows = rows_of(inputs, model.signature)
        self.statistics.served(model, rows, execution.busy_us, time.perf_counter_ns() - started)
        answer: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
        if identity is not None:
            answer["id"] = identity
        outputs = render(execution.outputs, model.signature, wishes)
        answer["outputs"] = outputs.tensors
        return tensor_reply(answer, outputs.buffers, {BUSY_HEADER: str(execution.busy_us)})

    async def _find(self, request: Request) -> ModelRef:
        """The model of the path; an unknown one is looked up once more, since it may be new."""
        name, version = request.path_params["name"], request.path_params.get("version")
        if version is not None and not (version.isascii() and version.isdigit() and len(version) < 10):
            raise NotFound("model version", version[:40])
        number = None if version is None else int(version)
        model = self._catalogue.find(name, number)
        if model is None:
            self.admission.enter()  # who waits for a look takes a place like any other
            try:
                await self._look(time.monotonic())
            finally:
                self.admission.leave()
            model = self._catalogue.find(name, number)
        if model is None:
            raise NotFound("model", name[:100] if number is None else f"{name[:100]} version {number}")
        return model

    async def _look(self, asked_s: float) -> None:
        """Know what there was after `asked_s`: a model may have been registered since the last look, however recent."""
        async with self._looking:
            since_s = self._catalogue.refreshed_at_s
            if since_s < asked_s:
                await asyncio.sleep(since_s + ON_DEMAND_S - time.monotonic())
                await asyncio.to_thread(self._refresh)

    def _refresh(self) -> None:
        try:
            self._catalogue.refresh(0.0)
        except Exception as error:  # of any layer below
            raise Unavailable("the coordinator does not answer") from error


async def _read(request: Request) -> Body:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Invalid("compressed requests are not spoken here", field="Content-Encoding", accepted="identity")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await body_of(request.receive, REQUEST_BYTES_MAX)
    except TimeoutError:
        raise Invalid("the body did not arrive", accepted=f"all of it within {BODY_TIMEOUT_S:.0f} s") from None
