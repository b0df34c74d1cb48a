"""The methods of `inference.GRPCInferenceService`, by the gateway's own rules for keys, terms, models and nodes."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import grpc
from grpc.aio import ServicerContext

from backend.bootstrap import utc_now
from backend.domain import serving
from backend.domain.access import Principal
from backend.domain.errors import Unavailable
from backend.domain.rates import body_tokens
from backend.gateway.callers import TIER_HEADER, face_named, principal_of
from backend.gateway.gateway import Gateway
from backend.gateway.grpc import answers
from backend.gateway.grpc import protocol_pb2 as pb
from backend.gateway.grpc.calls import SERVICE, Calls, Method, metadata_of
from backend.gateway.grpc.requests import read_request
from backend.gateway.leases.terms import read_terms
from backend.gateway.models import ServedModel
from backend.gateway.oip.inference import serve
from backend.gateway.oip.protocol import SERVER_NAME
from backend.gateway.oip.replies import receipt
from backend.gateway.oip.repository import no_unload, refuse_parameters


class Service:
    """One method per call of the protocol; all but those about the server want a key."""

    def __init__(self, gateway: Gateway, calls: Calls) -> None:
        self._gateway = gateway
        self._calls = calls

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server is given to answer with."""
        methods: Mapping[Method, type[Any]] = {
            self.ServerLive: pb.ServerLiveRequest,
            self.ServerReady: pb.ServerReadyRequest,
            self.ServerMetadata: pb.ServerMetadataRequest,
            self.ModelReady: pb.ModelReadyRequest,
            self.ModelMetadata: pb.ModelMetadataRequest,
            self.ModelConfig: pb.ModelConfigRequest,
            self.ModelStatistics: pb.ModelStatisticsRequest,
            self.ModelInfer: pb.ModelInferRequest,
            self.RepositoryIndex: pb.RepositoryIndexRequest,
            self.RepositoryModelLoad: pb.RepositoryModelLoadRequest,
            self.RepositoryModelUnload: pb.RepositoryModelUnloadRequest,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                method.__name__: grpc.unary_unary_rpc_method_handler(
                    self._calls.around(method),
                    request_deserializer=request.FromString,
                    response_serializer=lambda answer: answer.SerializeToString(),
                )
                for method, request in methods.items()
            },
        )

    async def ServerLive(self, _request: pb.ServerLiveRequest, _call: ServicerContext) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: pb.ServerReadyRequest, _call: ServicerContext) -> pb.ServerReadyResponse:
        try:
            self._gateway.changes.require_fresh()
        except Unavailable:
            return pb.ServerReadyResponse(ready=False)
        return pb.ServerReadyResponse(ready=True)

    async def ServerMetadata(
        self, _request: pb.ServerMetadataRequest, _call: ServicerContext
    ) -> pb.ServerMetadataResponse:
        return answers.message(serving.server_metadata(SERVER_NAME), pb.ServerMetadataResponse)

    async def ModelReady(self, request: pb.ModelReadyRequest, call: ServicerContext) -> pb.ModelReadyResponse:
        await self._model(request.name, request.version, call)
        return pb.ModelReadyResponse(ready=True)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, call: ServicerContext) -> pb.ModelMetadataResponse:
        model = await self._model(request.name, request.version, call)
        words = serving.model_metadata(model.name, model.versions, model.signature)
        return answers.message(words, pb.ModelMetadataResponse)

    async def ModelConfig(self, request: pb.ModelConfigRequest, call: ServicerContext) -> pb.ModelConfigResponse:
        model = await self._model(request.name, request.version, call)
        return answers.message({"config": serving.model_config(model.name, model.signature)}, pb.ModelConfigResponse)

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, call: ServicerContext
    ) -> pb.ModelStatisticsResponse:
        seen = self._gateway.statistics.seen_by(await self._caller(call))
        if request.name:
            model = await self._model(request.name, request.version, call)
            version = (model.name, model.version)
            seen = {version: seen.get(version, serving.ModelStatistics())}
        listed = [totals.to_wire(*version) for version, totals in seen.items()]
        return answers.message({"model_stats": listed}, pb.ModelStatisticsResponse)

    async def ModelInfer(self, request: pb.ModelInferRequest, call: ServicerContext) -> pb.ModelInferResponse:
        started = time.perf_counter()
        principal, metadata = await self._caller(call), metadata_of(call)
        with await self._gateway.rates.visit(principal, face_named(metadata.get(TIER_HEADER, ""))) as visit:
            await visit.enter(body_tokens(request.ByteSize()))
            model = await self._model(request.model_name, request.model_version, call)
            payload = read_request(request, model.signature)
            served = await serve(self._gateway, principal, model, payload, read_terms(metadata))
            answer = answers.inference(served.outputs, payload, model)
            told = receipt(served, utc_now(), (time.perf_counter() - started) * 1_000)
            limits = [(name.decode(), value.decode()) for name, value in visit.headers()]
            call.set_trailing_metadata((*((name.lower(), value) for name, value in told.items()), *limits))
        return answer

    async def RepositoryIndex(
        self, _request: pb.RepositoryIndexRequest, call: ServicerContext
    ) -> pb.RepositoryIndexResponse:
        await self._caller(call)
        models = [serving.index_entry(*version) for version in await self._gateway.models.index()]
        return answers.message({"models": models}, pb.RepositoryIndexResponse)

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, call: ServicerContext
    ) -> pb.RepositoryModelLoadResponse:
        await self._model(request.model_name, "", call)
        refuse_parameters(request.parameters)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, call: ServicerContext
    ) -> pb.RepositoryModelUnloadResponse:
        raise no_unload((await self._model(request.model_name, "", call)).name)

    async def _caller(self, call: ServicerContext) -> Principal:
        return await principal_of(self._gateway.keys, metadata_of(call).get("authorization", ""), _address(call.peer()))

    async def _model(self, name: str, version: str, call: ServicerContext) -> ServedModel:
        await self._caller(call)
        return await self._gateway.models.get(name, version or None)


def _address(peer: str) -> str | None:
    """The address in gRPC's name for the other side, as in ipv4:192.0.2.1:5000; None for a socket file."""
    family, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0] if family in ("ipv4", "ipv6") else None
