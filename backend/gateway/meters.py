"""How real-time requests went, in Prometheus' terms: by model and tier, and by the node that ran them."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from backend.messaging.bounded_labels import BoundedLabel
from backend.messaging.durations import Durations

MODELS_MAX = 100
NODES_MAX = 200
CODES_MAX = 100
SERVED = "served"


class Meters(Collector):
    """Counted in the event loop, read from any thread; how many series there are is bounded."""

    def __init__(self) -> None:
        self._models, self._nodes, self._codes = map(BoundedLabel, (MODELS_MAX, NODES_MAX, CODES_MAX))
        self._outcomes: dict[tuple[str, str, str], int] = {}
        self._durations: dict[tuple[str, str], Durations] = {}
        self._node_durations: dict[str, Durations] = {}
        self._node_failures: dict[tuple[str, str], int] = {}

    def served(self, model: str, tier: str, seconds: float) -> None:
        """A request was answered well."""
        place = self._models.of(model), tier
        self._count(*place, SERVED)
        durations = self._durations.get(place) or self._durations.setdefault(place, Durations())
        durations.observe(seconds)

    def failed(self, model: str, tier: str, code: str) -> None:
        """A request was refused or lost on its way to a node, or there."""
        self._count(self._models.of(model), tier, self._codes.of(code))

    def node_answered(self, node: str, seconds: float) -> None:
        """A node did what it was asked."""
        node = self._nodes.of(node)
        durations = self._node_durations.get(node) or self._node_durations.setdefault(node, Durations())
        durations.observe(seconds)

    def node_failed(self, node: str, code: str) -> None:
        """A node did not."""
        place = self._nodes.of(node), self._codes.of(code)
        self._node_failures[place] = self._node_failures.get(place, 0) + 1

    def collect(self) -> Iterator[Metric]:
        about = "Requests to models, by model, tier and outcome: served, or a refusal's code."
        requests = CounterMetricFamily("swarmex_inference_requests", about, labels=["model", "tier", "outcome"])
        for outcome, count in list(self._outcomes.items()):
            requests.add_metric(outcome, count)
        about = "From the check to the node's whole answer, retries included, by model and tier."
        seconds = HistogramMetricFamily("swarmex_inference_seconds", about, labels=["model", "tier"])
        for place, durations in list(self._durations.items()):
            durations.add_to(seconds, place)
        about = "From the first byte of a request to the last of its answer, by node."
        node_seconds = HistogramMetricFamily("swarmex_node_seconds", about, labels=["node"])
        for node, durations in list(self._node_durations.items()):
            durations.add_to(node_seconds, [node])
        about = "Requests that a node failed, by node and code."
        failures = CounterMetricFamily("swarmex_node_failures", about, labels=["node", "code"])
        for failure, count in list(self._node_failures.items()):
            failures.add_metric(failure, count)
        yield from (requests, seconds, node_seconds, failures)

    def _count(self, model: str, tier: str, outcome: str) -> None:
        place = model, tier, outcome
        self._outcomes[place] = self._outcomes.get(place, 0) + 1
