"""What the limits of keys let in and refused in this process, in Prometheus' terms."""

from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.gateway.rates.rates import Rates


class RateMetrics(Collector):
    """Read at every scrape from the gateway that runs, if one does; each label is there from the start."""

    def __init__(self, find: Callable[[], Rates | None]) -> None:
        self._find = find

    def collect(self) -> Iterator[Metric]:
        rates = self._find()
        if rates is None:
            return
        admitted = CounterMetricFamily("swarmex_rate_admitted", "Requests within their key's limits.", labels=["face"])
        for face, count in rates.admitted.items():
            admitted.add_metric([face], count)
        yield admitted
        refused = CounterMetricFamily(
            "swarmex_rate_refused", "Requests above a limit of their key.", labels=["face", "limit"]
        )
        for (face, limit), count in rates.refused.items():
            refused.add_metric([face, limit], count)
        yield refused
        yield CounterMetricFamily("swarmex_rate_redis_trips", "Draws from shared buckets.", value=rates.permits.trips)
        yield CounterMetricFamily(
            "swarmex_rate_drawn_alone",
            "Draws without Redis, from this process's own buckets.",
            value=rates.permits.drawn_alone,
        )
        yield GaugeMetricFamily(
            "swarmex_rate_alone",
            "1 while limits hold for each process by itself, for want of Redis.",
            value=rates.permits.alone,
        )
