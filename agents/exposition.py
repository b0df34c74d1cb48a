"""An agent's own figures for Prometheus, on a port of its own where the deployment gives it one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agents.base import Agent
from backend.domain.errors import Unavailable

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

    from backend.bootstrap import Settings
    from backend.messaging.breakers import Breakers
    from backend.messaging.losses import Losses


class AgentMetrics:
    """A collector of Prometheus' client: whether the agent's loop turns."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        figures: tuple[CounterMetricFamily | GaugeMetricFamily, ...] = (
            CounterMetricFamily("swarmex_agent_ticks", "Ticks that ended, well or not.", labels=["agent"]),
            CounterMetricFamily("swarmex_agent_tick_failures", "Ticks that failed.", labels=["agent"]),
            GaugeMetricFamily("swarmex_agent_tick_age_seconds", "Time since the last one ended.", labels=["agent"]),
        )
        agent = self._agent
        for family, value in zip(figures, (agent.ticks, agent.failures, agent.tick_age_ms() / 1_000), strict=True):
            family.add_metric([agent.name], value)
            yield family


def expose(settings: "Settings", agent: Agent, breakers: "Breakers", losses: "Losses", *more: "Collector") -> None:
    """Serve the agent's figures, its breakers, what its bus lost, the process's memory and CPU, and `more`.

    Nothing is served unless SWARMEX_METRICS_PORT is set.

    Aggregates only, in the clear, to whoever reaches SWARMEX_BIND_HOST. Raises Unavailable(`metrics_port_taken`).
    """
    if settings.metrics_port is None:
        return
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    from backend.messaging.breaker_metrics import BreakerMetrics
    from backend.messaging.bus_metrics import BusMetrics

    registry = CollectorRegistry(auto_describe=False)
    for collector in (AgentMetrics(agent), BreakerMetrics(breakers), BusMetrics(losses), *more):
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
