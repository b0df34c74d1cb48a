"""Breakers of this process in Prometheus' terms; how many series there are is bounded by backend.messaging."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.messaging.breaker_notice import STATES
from backend.messaging.breakers import Breakers

LABELS = ("kind", "breaker")


class BreakerMetrics(Collector):
    """Read at every scrape: it costs no round trip."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "swarmex_breaker_state", "Breakers of this process in a state.", labels=(*LABELS, "state")
        )
        trips = CounterMetricFamily("swarmex_breaker_trips", "Times that it tripped here.", labels=LABELS)
        rejected = CounterMetricFamily("swarmex_breaker_rejected", "Calls refused while it was shut.", labels=LABELS)
        for figures in self._breakers.figures():
            named = [figures.kind, figures.name]
            for state in STATES:
                states.add_metric([*named, state], figures.states.get(state, 0))
            trips.add_metric(named, figures.trips)
            rejected.add_metric(named, figures.rejected)
        yield from (states, trips, rejected)
