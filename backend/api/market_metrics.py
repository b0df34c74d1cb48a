"""What goes on in the market, in Prometheus' terms: orders, work, leases, agents and nodes."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.domain.fleet import AgentKind
from backend.domain.tiers import ResourceClass, TierName
from backend.storage.figures import Count

MS_PER_S = 1_000

CLASSES = tuple(ResourceClass)
ORDERS = ("open", "running", "closing")
ITEMS = ("waiting", "queued", "running", "reported", "committed", "dead")
# What is read, and how it is shown: name, label, values that are always there (0 if nothing was read), and meaning.
GAUGES: Mapping[str, tuple[str, str, Sequence[str], str]] = MappingProxyType(
    {
        "orders": ("orders", "state", ORDERS, "Orders that have not ended, by state."),
        "items": ("work_items", "state", ITEMS, "Work items that are not settled, by state."),
        "leases": ("leases_active", "tier", tuple(TierName), "Leases that have not ended, by tier."),
        "leased_slots": ("leased_slots", "tier", tuple(TierName), "Slots of theirs."),
        "agents": ("agents_up", "kind", tuple(AgentKind), "Agents that have beaten lately, by kind."),
        "nodes": ("nodes", "resource_class", CLASSES, "Registered nodes."),
        "nodes_alive": ("nodes_alive", "resource_class", CLASSES, "Those that an agent serves."),
        "slots": ("slots", "resource_class", CLASSES, "Slots of the registered nodes."),
        "slots_busy": ("slots_busy", "resource_class", CLASSES, "Those that are leased."),
    }
)
AGES = {
    "waiting": ("work_waiting_age_seconds", "Time since the oldest order was placed that has items without a unit."),
    "queued": ("work_queued_age_seconds", "Time since the oldest unit was made that has items to be claimed."),
    "owed": ("messages_owed_age_seconds", "Time since the oldest message was owed that the broker has not got."),
}


class MarketMetrics(Collector):
    """As the database has it; every series is always there, so that a first one shows as a rise."""

    def __init__(self, counts: Sequence[Count]) -> None:
        self._read = {(count.figure, count.label): count.value for count in counts}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for figure, (name, label, values, about) in GAUGES.items():
            family = GaugeMetricFamily(f"swarmex_{name}", about, labels=[label])
            for value in values:
                family.add_metric([value], self._read.get((figure, value), 0))
            yield family
        owed = self._read.get(("owed", ""), 0)
        yield GaugeMetricFamily("swarmex_messages_owed", "Messages that the broker has not got yet.", value=owed)
        for what, (name, about) in AGES.items():
            age_s = max(0, self._read.get(("age_ms", what), 0)) / MS_PER_S
            yield GaugeMetricFamily(f"swarmex_{name}", about, value=age_s)
