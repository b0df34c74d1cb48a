"""Events that this process's bus lost, in Prometheus' terms."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from backend.messaging.losses import Loss, Losses


class BusMetrics(Collector):
    """Read at every scrape; each reason is there from the start, so that a first loss shows as a rise."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses

    def collect(self) -> Iterator[Metric]:
        lost = CounterMetricFamily("swarmex_bus_events_lost", "Events not sent, or not understood.", labels=["reason"])
        counts = self._losses.by_reason()
        for reason in Loss:
            lost.add_metric([reason], counts.get(reason, 0))
        yield lost
