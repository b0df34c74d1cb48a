"""The methods of `inference.GRPCInferenceService`, by the gateway's own rules for keys, terms, models and nodes."""

import time
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message import Message

from backend.bootstrap import utc_now
from backend.domain import serving
from backend.domain.access import Principal
from backend.domain.rates import Face, body_tokens
from backend.gateway.callers import TIER_HEADER, face_named, principal_of
from backend.gateway.gateway import Gateway
from backend.gateway.grpc import answers
from backend.gateway.grpc import protocol_pb2 as pb
from backend.gateway.grpc.call import Call
from backend.gateway.grpc.calls import SERVICE, Calls, Method
from backend.gateway.grpc.health import is_ready
from backend.gateway.grpc.requests import read_request
from backend.gateway.leases.terms import read_terms
from backend.gateway.models import ServedModel
from backend.gateway.oip.inference import serve
from backend.gateway.oip.protocol import SERVER_NAME
from backend.gateway.oip.replies import receipt
from backend.gateway.oip.repository import no_unload, refuse_parameters
from backend.messaging.spans import span

AboutModel = pb.ModelReadyRequest | pb.ModelMetadataRequest | pb.ModelConfigRequest
AboutRepository = pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest


class Service:
    """One method per call of the protocol; all but those about the server want a key."""

    def __init__(self, gateway: Gateway, calls: Calls) -> None:
        self._gateway = gateway
        self._calls = calls

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server is given to answer with."""
        open_to_all: Mapping[Method, type[Any]] = {
            self.ServerLive: pb.ServerLiveRequest,
            self.ServerReady: pb.ServerReadyRequest,
            self.ServerMetadata: pb.ServerMetadataRequest,
        }
        methods: Mapping[Method, type[Any]] = {
            self.ModelReady: pb.ModelReadyRequest,
            self.ModelMetadata: pb.ModelMetadataRequest,
            self.ModelConfig: pb.ModelConfigRequest,
            self.ModelStatistics: pb.ModelStatisticsRequest,
            self.ModelInfer: pb.ModelInferRequest,
            self.RepositoryIndex: pb.RepositoryIndexRequest,
            self.RepositoryModelLoad: pb.RepositoryModelLoadRequest,
            self.RepositoryModelUnload: pb.RepositoryModelUnloadRequest,
        }
        around = self._calls.around
        handlers = {method.__name__: around(method, kind) for method, kind in open_to_all.items()}
        handlers |= {method.__name__: around(method, kind, admit=self._known) for method, kind in methods.items()}
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def _known(self, call: Call) -> Principal:
        """Whose key the call shows; raises Unauthenticated before anything of its message is awaited or kept."""
        return await principal_of(self._gateway.keys, call.metadata.get("authorization", ""), call.address)

    async def ServerLive(self, _request: pb.ServerLiveRequest, _call: Call) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: pb.ServerReadyRequest, _call: Call) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=is_ready(self._gateway))

    async def ServerMetadata(self, _request: pb.ServerMetadataRequest, _call: Call) -> pb.ServerMetadataResponse:
        return answers.message(serving.server_metadata(SERVER_NAME), pb.ServerMetadataResponse)

    async def ModelReady(self, request: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:
        await self._model(request, call)
        return pb.ModelReadyResponse(ready=True)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, call: Call) -> pb.ModelMetadataResponse:
        model = await self._model(request, call)
        words = serving.model_metadata(model.name, model.versions, model.signature)
        return answers.message(words, pb.ModelMetadataResponse)

    async def ModelConfig(self, request: pb.ModelConfigRequest, call: Call) -> pb.ModelConfigResponse:
        model = await self._model(request, call)
        return answers.message({"config": serving.model_config(model.name, model.signature)}, pb.ModelConfigResponse)

    async def ModelStatistics(self, request: pb.ModelStatisticsRequest, call: Call) -> pb.ModelStatisticsResponse:
        seen = self._gateway.statistics.seen_by(await self._reader(request, call))
        if request.name:
            model = await self._gateway.models.get(request.name, request.version or None)
            version = (model.name, model.version)
            seen = {version: seen.get(version, serving.ModelStatistics())}
        listed = [totals.to_wire(*version) for version, totals in seen.items()]
        return answers.message({"model_stats": listed}, pb.ModelStatisticsResponse)

    async def ModelInfer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        started = time.perf_counter()
        principal = await self._let_in(request, call, face_named(call.metadata.get(TIER_HEADER, "")))
        model = await self._gateway.models.get(request.model_name, request.model_version or None)
        payload = read_request(request, model.signature)
        served = await serve(self._gateway, principal, model, payload, read_terms(call.metadata))
        answer = answers.inference(served.outputs, payload, model)
        told = receipt(served, utc_now(), (time.perf_counter() - started) * 1_000)
        call.told = tuple((name.lower(), value) for name, value in told.items())
        return answer

    async def RepositoryIndex(self, request: pb.RepositoryIndexRequest, call: Call) -> pb.RepositoryIndexResponse:
        await self._reader(request, call)
        models = [serving.index_entry(*version) for version in await self._gateway.models.index()]
        return answers.message({"models": models}, pb.RepositoryIndexResponse)

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, call: Call
    ) -> pb.RepositoryModelLoadResponse:
        await self._registered(request, call)
        refuse_parameters(request.parameters)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, call: Call
    ) -> pb.RepositoryModelUnloadResponse:
        raise no_unload((await self._registered(request, call)).name)

    async def _let_in(self, request: Message, call: Call, face: Face) -> Principal:
        """The caller, counted against the limits of their key until the call is over."""
        shown = call.metadata.get("authorization", "")
        principal = await principal_of(self._gateway.keys, shown, call.address)
        with span("gateway.limits", swarmex__face=face):
            call.visit = await self._gateway.rates.visit(principal, face)
            await call.visit.enter(body_tokens(request.ByteSize()))
        return principal

    async def _reader(self, request: Message, call: Call) -> Principal:
        """The caller of what only tells something: as over HTTP, a request to the market's API."""
        return await self._let_in(request, call, Face.API)

    async def _model(self, request: AboutModel, call: Call) -> ServedModel:
        await self._reader(request, call)
        return await self._gateway.models.get(request.name, request.version or None)

    async def _registered(self, request: AboutRepository, call: Call) -> ServedModel:
        await self._reader(request, call)
        return await self._gateway.models.get(request.model_name, None)
