"""Routes about the models that are served: their configuration, statistics and repository.

On a market nobody loads a model by hand: every registered model is ready, since a node fetches and loads it when the
first request of a lease needs it, and forgets it when others need its memory. So `load` succeeds for whatever is
registered and changes nothing, and `unload` is refused: it could not keep anybody from being served. What is to be
served no more is taken out of the registry. Shared memory would have to be shared with a node's machine.
"""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend.domain import serving
from backend.domain.errors import Conflict, Invalid
from backend.gateway.callers import reader
from backend.gateway.errors import InvalidJson
from backend.gateway.gateway import Gateway
from backend.gateway.models import ServedModel
from backend.gateway.oip.replies import json_reply


def repository_routes() -> list[Route]:
    """Routes below /v2, of which one must come before the model's own."""
    model = "/v2/models/{model}"
    version = "/v2/models/{model}/versions/{version}"
    return [
        Route("/v2/models/stats", _all_statistics, methods=["GET"]),
        *(Route(f"{path}/config", _config, methods=["GET"]) for path in (model, version)),
        *(Route(f"{path}/stats", _statistics, methods=["GET"]) for path in (model, version)),
        Route("/v2/repository/index", _index, methods=["POST"]),
        Route("/v2/repository/models/{model}/load", _load, methods=["POST"]),
        Route("/v2/repository/models/{model}/unload", _unload, methods=["POST"]),
        *(
            Route(f"/v2/{kind}sharedmemory/{{rest:path}}", _shared_memory, methods=["GET", "POST"])
            for kind in ("system", "cuda")
        ),
    ]


async def _config(request: Request) -> Response:
    model = await asked_model(request)
    return json_reply(serving.model_config(model.name, model.signature))


async def _all_statistics(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    seen = gateway.statistics.seen_by(await reader(gateway.keys, gateway.rates, request))
    return json_reply({"model_stats": [totals.to_wire(*version) for version, totals in seen.items()]})


async def _statistics(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    model = await asked_model(request)
    seen = gateway.statistics.seen_by(await reader(gateway.keys, gateway.rates, request))
    totals = seen.get((model.name, model.version), serving.ModelStatistics())
    return json_reply({"model_stats": [totals.to_wire(model.name, model.version)]})


async def _index(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    await reader(gateway.keys, gateway.rates, request)
    await _asked(request)
    return json_reply([serving.index_entry(*version) for version in await gateway.models.index()])


async def _load(request: Request) -> Response:
    await asked_model(request)
    refuse_parameters((await _asked(request)).get("parameters"))
    return json_reply({})


async def _unload(request: Request) -> Response:
    raise no_unload((await asked_model(request)).name)


async def _shared_memory(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    await reader(gateway.keys, gateway.rates, request)
    raise serving.no_shared_memory()


async def asked_model(request: Request) -> ServedModel:
    """The model of the path, for a caller with a key; raises NotFound, Unauthenticated."""
    gateway: Gateway = request.app.state.gateway
    await reader(gateway.keys, gateway.rates, request)
    return await gateway.models.get(request.path_params["model"], request.path_params.get("version"))


def refuse_parameters(parameters: object) -> None:
    """Raise Invalid for a load that brings a model's file or configuration with it."""
    if parameters:
        raise Invalid(
            "a model is loaded as it was registered",
            code="load_parameters_not_offered",
            field="parameters",
            accepted="none; register the file as a new version",
        )


def no_unload(name: str) -> Conflict:
    """The refusal of every unload."""
    return Conflict(
        f"{name} is served as long as it is registered; nodes forget it by themselves",
        code="unload_not_offered",
        field="model",
        accepted="taking it out of the registry",
    )


async def _asked(request: Request) -> dict[str, Any]:
    """The JSON object in a body that may be empty; raises InvalidJson."""
    raw = await request.body()
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidJson("the body is not an object", accepted="{}")
    return body
