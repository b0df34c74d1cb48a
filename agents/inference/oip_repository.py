"""The node's routes about its models: configuration, statistics, and what is in its memory.

A model is loaded when it is first asked for, so all are ready; `load` does it beforehand, and `unload` makes room,
until somebody asks for the model again.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agents.inference.admission import Admission
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.inference.oip_replies import json_reply
from backend.domain import serving
from backend.domain.errors import Invalid
from backend.domain.work import ModelRef

STATISTICS_MAX = 1_000  # models in their versions
NOT_IN_MEMORY = "not in memory; loaded when it is asked for"

Handler = Callable[[Request], Awaitable[Response]]
Find = Callable[[Request], Awaitable[ModelRef]]
Read = Callable[[Request], Awaitable[bytes | bytearray | memoryview]]


class NodeStatistics:
    """Totals by model since the process began; of more than STATISTICS_MAX the longest unused are lost."""

    def __init__(self) -> None:
        self._totals: OrderedDict[tuple[str, int], serving.ModelStatistics] = OrderedDict()

    def served(self, model: ModelRef, rows: int, busy_us: int, ns: int) -> None:
        """A request was answered after so long, in which the engine was busy for a while."""
        self._of(model).served(datetime.now(UTC), rows, max(0, ns - busy_us * 1_000), busy_us * 1_000)

    def failed(self, model: ModelRef, ns: int) -> None:
        """A request got no answer."""
        self._of(model).failed(ns)

    def told(self, only: ModelRef | None = None) -> list[dict[str, Any]]:
        """As the protocol lists them, all or those of one model."""
        if only is not None:
            key = (only.name, only.version)
            return [self._totals.get(key, serving.ModelStatistics()).to_wire(*key)]
        return [totals.to_wire(*key) for key, totals in self._totals.items()]

    def _of(self, model: ModelRef) -> serving.ModelStatistics:
        key = (model.name, model.version)
        totals = self._totals.setdefault(key, serving.ModelStatistics())
        self._totals.move_to_end(key)
        if len(self._totals) > STATISTICS_MAX:
            self._totals.popitem(last=False)
        return totals


class Repository:
    """The routes, for a node's models."""

    def __init__(
        self,
        catalogue: Catalogue,
        models: LoadedModels,
        admission: Admission,
        find: Find,
        read: Read,
        statistics: NodeStatistics,
    ) -> None:
        self._catalogue = catalogue
        self._models = models
        self._admission = admission
        self._find = find
        self._read = read
        self._statistics = statistics

    def routes(self, guarded: Callable[[Handler], Handler]) -> list[Route]:
        """All of them, of which the first must come before the model's own."""
        model = "/v2/models/{name}"
        version = model + "/versions/{version}"
        return [
            Route("/v2/models/stats", guarded(self._all_stats)),
            *(Route(f"{base}/config", guarded(self._config)) for base in (model, version)),
            *(Route(f"{base}/stats", guarded(self._stats)) for base in (model, version)),
            Route("/v2/repository/index", guarded(self._index), methods=["POST"]),
            Route("/v2/repository/models/{name}/load", guarded(self._load), methods=["POST"]),
            Route("/v2/repository/models/{name}/unload", guarded(self._unload), methods=["POST"]),
            *(
                Route(f"/v2/{kind}sharedmemory/{{rest:path}}", guarded(_shared_memory), methods=["GET", "POST"])
                for kind in ("system", "cuda")
            ),
        ]

    async def _config(self, request: Request) -> Response:
        model = await self._find(request)
        return json_reply(serving.model_config(model.name, model.signature))

    async def _all_stats(self, _request: Request) -> Response:
        return json_reply({"model_stats": self._statistics.told()})

    async def _stats(self, request: Request) -> Response:
        return json_reply({"model_stats": self._statistics.told(await self._find(request))})

    async def _index(self, _request: Request) -> Response:
        return json_reply(
            [
                serving.index_entry(
                    model.name, model.version, reason="" if self._models.peek(model.checksum) else NOT_IN_MEMORY
                )
                for model in self._catalogue.all()
            ]
        )

    async def _load(self, request: Request) -> Response:
        model = await self._find(request)
        if _has_parameters(await self._read(request)):
            raise Invalid("a model is loaded as it was registered", field="parameters", accepted="none")
        await self._admission.submit(lambda: self._models.load(model))
        return json_reply({})

    async def _unload(self, request: Request) -> Response:
        model = await self._find(request)
        for number in self._catalogue.versions(model.name):
            version = self._catalogue.find(model.name, number)
            if version is not None:
                await self._admission.submit(lambda checksum=version.checksum: self._models.unload(checksum))  # type: ignore[misc]  # of this turn
        return json_reply({})


async def _shared_memory(_request: Request) -> Response:
    raise serving.no_shared_memory()


def _has_parameters(raw: bytes | bytearray | memoryview) -> bool:
    try:
        body = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}", accepted="{}") from None
    return bool(isinstance(body, dict) and body.get("parameters"))
