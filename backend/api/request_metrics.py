"""What this process was asked and how it answered, in Prometheus' terms: rate, errors and duration by route."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from backend.messaging.bounded_labels import BoundedLabel
from backend.messaging.durations import Durations

ROUTES_MAX = 300  # templates, never paths
METHODS_MAX = 10
CODES_MAX = 300
KEPT_MAX = 3_000  # combinations that are found at once
CODE_KEY = "swarmex.code"  # where in a request's scope the stable code of its refusal is


class _Answers:
    """How often one route answered one method with one status."""

    __slots__ = ("count", "durations")

    def __init__(self, durations: Durations) -> None:
        self.count = 0
        self.durations = durations  # of the route, whatever method and status


class RequestMetrics(Collector):
    """Counted in the event loop, read from any thread; how many series there are is bounded."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._routes, self._methods, self._codes = map(BoundedLabel, (ROUTES_MAX, METHODS_MAX, CODES_MAX))
        self._durations: dict[str, Durations] = {}
        self._answers: dict[tuple[str, str, str], _Answers] = {}
        self._found: dict[tuple[str, str, int], _Answers] = {}
        self._refusals: dict[str, int] = {}

    def answered(self, route: str, method: str, status: int, seconds: float, code: str | None) -> None:
        """A request is over; `code` is that of its refusal, if it was one."""
        answers = self._found.get((route, method, status)) or self._find(route, method, status)
        answers.count += 1
        answers.durations.observe(seconds)
        if code is not None:
            code = self._codes.of(code)
            self._refusals[code] = self._refusals.get(code, 0) + 1

    def collect(self) -> Iterator[Metric]:
        about = "Requests that were answered, by route, method and status."
        requests = CounterMetricFamily("swarmex_http_requests", about, labels=["route", "method", "status"])
        for labels, answers in list(self._answers.items()):
            requests.add_metric(labels, answers.count)
        about = "From a request's head to the end of its answer, by route."
        seconds = HistogramMetricFamily("swarmex_http_request_seconds", about, labels=["route"])
        for route, durations in list(self._durations.items()):
            durations.add_to(seconds, [route])
        about = "Requests that were refused, by stable code."
        refusals = CounterMetricFamily("swarmex_http_refusals", about, labels=["code"])
        for code, count in list(self._refusals.items()):
            refusals.add_metric([code], count)
        about = "Requests that are being answered."
        yield from (requests, seconds, refusals)
        yield GaugeMetricFamily("swarmex_http_requests_in_flight", about, value=self.in_flight)

    def _find(self, route: str, method: str, status: int) -> _Answers:
        labels = self._routes.of(route), self._methods.of(method), str(status)
        answers = self._answers.get(labels)
        if answers is None:
            durations = self._durations.setdefault(labels[0], Durations())
            answers = self._answers.setdefault(labels, _Answers(durations))
        if len(self._found) < KEPT_MAX:
            self._found[route, method, status] = answers
        return answers
