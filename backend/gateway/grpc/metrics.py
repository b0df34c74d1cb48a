"""What this gRPC server was asked and how it answered, in Prometheus' terms, on a port of its own if it has one."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, ProcessCollector, start_http_server
from prometheus_client.registry import Collector

from backend.bootstrap import Swarmex
from backend.domain.errors import Unavailable
from backend.gateway.gateway import Gateway
from backend.gateway.gateway_metrics import GatewayMetrics
from backend.gateway.rates.metrics import RateMetrics
from backend.messaging.bounded_labels import BoundedLabel
from backend.messaging.breaker_metrics import BreakerMetrics
from backend.messaging.bus_metrics import BusMetrics
from backend.messaging.durations import BUCKETS_S

CODES_MAX = 300


class CallMetrics(Collector):
    """Counted in the event loop, read from any thread; methods are the protocol's, codes are bounded."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "swarmex_grpc_calls",
            "Calls that were answered, by method and outcome: ok, or a refusal's code.",
            ["method", "code"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "swarmex_grpc_call_seconds",
            "How long answering them took, by method.",
            ["method"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._codes = BoundedLabel(CODES_MAX)

    def answered(self, method: str, code: str, seconds: float) -> None:
        """A call is over."""
        self._calls.labels(method, self._codes.of(code)).inc()
        self._seconds.labels(method).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()


def expose(market: Swarmex, gateway: Gateway, calls: CallMetrics) -> None:
    """Serve figures of this process where SWARMEX_METRICS_PORT says, in the clear; raises Unavailable."""
    settings = market.settings
    if settings.metrics_port is None:
        return
    registry = CollectorRegistry(auto_describe=False)
    breakers, losses = BreakerMetrics(market.breakers), BusMetrics(market.bus.losses)
    for collector in (calls, GatewayMetrics(lambda: gateway), RateMetrics(lambda: gateway.rates), breakers, losses):
        registry.register(collector)
    ProcessCollector(registry=registry)
    try:
        start_http_server(settings.metrics_port, settings.bind_host, registry)
    except OSError as error:
        raise Unavailable(
            f"port {settings.metrics_port} of {settings.bind_host} cannot be had: {error.strerror}",
            code="metrics_port_taken",
            field="SWARMEX_METRICS_PORT",
            accepted="a free port, or none",
        ) from error
