"""What this process's gateway holds now, in Prometheus' terms: lines of sessions, requests under way, freshness."""

from collections import defaultdict
from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.bootstrap import utc_now
from backend.domain.tiers import TierName
from backend.gateway.gateway import Gateway
from backend.gateway.mail.metrics import MailMetrics
from backend.gateway.meters import MODELS_MAX
from backend.gateway.routing.router_view import RouterFigures
from backend.messaging.bounded_labels import BoundedLabel

ROUTER = {
    "lines": "Lines of sessions: one per spender, model and tier.",
    "sessions": "Sessions open, each on a lease of its own.",
    "sessions_resting": "Those that the load does not need, and that become idle.",
    "sessions_ejected": "Those that get nothing for a while, since their nodes fail or stand out.",
    "sessions_opening": "Lines that wait for a lease of the market.",
    "in_flight": "Requests under way on nodes.",
}


class GatewayMetrics(Collector):
    """Read at every scrape: it costs no round trip. Nothing is shown while there is no gateway."""

    def __init__(self, gateway: Callable[[], Gateway | None]) -> None:
        self._gateway = gateway
        self._models = BoundedLabel(MODELS_MAX)

    def collect(self) -> Iterator[Metric]:
        gateway = self._gateway()
        if gateway is None:
            return
        yield from self._router(gateway.sessions.figures())
        yield self._charges(gateway)
        taken, fresh = gateway.requests.taken, gateway.changes.fresh
        yield GaugeMetricFamily("swarmex_gateway_requests_in_flight", "Inferences under way.", value=taken)
        yield GaugeMetricFamily("swarmex_gateway_fresh", "1 while keys and limits may be served by.", value=fresh)
        yield from gateway.meters.collect()
        yield from MailMetrics(gateway.post).collect()

    def _router(self, rows: list[RouterFigures]) -> Iterator[Metric]:
        sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(ROUTER))
        for row in rows:
            counted = sums[self._models.of(row.model), row.tier]
            shown = (row.lines, row.leases, row.resting, row.ejected, row.opening, row.in_flight)
            for place, value in enumerate(shown):
                counted[place] += value
        for place, (name, about) in enumerate(ROUTER.items()):
            family = GaugeMetricFamily(f"swarmex_gateway_{name}", about, labels=["model", "tier"])
            for labels, counted in sums.items():
                family.add_metric(labels, counted[place])
            yield family

    def _charges(self, gateway: Gateway) -> Metric:
        now, about = utc_now(), "What the open sessions have cost so far, in nano-credits."
        charges_nano = dict.fromkeys(map(str, TierName), 0)
        for line in gateway.sessions.lines:
            charges_nano[line.key.tier] += sum(session.charge_nano(now) for session in list(line.sessions))
        family = GaugeMetricFamily("swarmex_gateway_session_charge_nano", about, labels=["tier"])
        for tier, charge_nano in charges_nano.items():
            family.add_metric([tier], charge_nano)
        return family
