"""Puts the API together: routes, gateway, errors, limits and documentation around one wired market."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline

from backend.api import docs, errors
from backend.api.exposition import Exposition
from backend.api.front import Front
from backend.api.heads import Heads
from backend.api.limits import THREADS_MAX
from backend.api.node_side import NodeSide
from backend.api.parameters import only_known
from backend.api.protocol_face import Faces, ProtocolFace
from backend.api.request_metrics import RequestMetrics
from backend.api.routes import ROUTERS
from backend.bootstrap import Swarmex
from backend.gateway.gateway import Gateway
from backend.gateway.gateway_metrics import GatewayMetrics
from backend.gateway.oip.protocol import protocol_routes
from backend.gateway.rates.metrics import RateMetrics
from backend.messaging.breaker_metrics import BreakerMetrics
from backend.messaging.bus_metrics import BusMetrics
from backend.services import metrics

API_VERSION = "1"
# Spans and figures are ours: FastAPI's would tell everything twice, and it asks at each request whether to.
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def create_app(app: Swarmex) -> FastAPI:
    """The ASGI application over `app`; its lifespan starts and ends the gateway, and must be run."""

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = THREADS_MAX
        async with Gateway.running(app) as gateway, NodeSide.running(app, gateway) as node_side:
            api.state.gateway, api.state.node_side = gateway, node_side
            yield

    protocol = protocol_routes()
    api = FastAPIOffline(
        title="Swarmex",
        version=API_VERSION,
        description=docs.DESCRIPTION,
        lifespan=lifespan,
        routes=protocol,  # for the description; `Faces` answers them
        responses=errors.RESPONSES,
        dependencies=[Depends(only_known)],
        telemetry=_NO_TELEMETRY,
    )
    api.state.swarmex = app
    requests = RequestMetrics()
    gateways = GatewayMetrics(lambda: getattr(api.state, "gateway", None))
    limits = RateMetrics(lambda: gateway.rates if (gateway := getattr(api.state, "gateway", None)) else None)
    api.state.exposition = Exposition(
        lambda now: metrics.figures(app.uow(), now),
        [BreakerMetrics(app.breakers), BusMetrics(app.bus.losses), requests, limits, gateways],
    )
    for router in ROUTERS:
        api.include_router(router)
    errors.install(api)
    docs.install(api)
    api.add_middleware(Front, metrics=requests)
    # Requests of the protocol pass nothing of what the framework puts before its own routes.
    api.middleware_stack = Faces(Front(ProtocolFace(protocol), requests), Heads(api.build_middleware_stack()))
    return api
