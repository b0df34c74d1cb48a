"""Lost events as a counter by reason."""

from prometheus_client import CollectorRegistry

from backend.messaging.bus_metrics import BusMetrics
from backend.messaging.losses import Loss, Losses


def test_each_reason_is_a_series_from_the_start_and_counts_what_was_lost() -> None:
    losses = Losses()
    registry = CollectorRegistry()
    registry.register(BusMetrics(losses))

    def shown(reason: Loss) -> float | None:
        return registry.get_sample_value("swarmex_bus_events_lost_total", {"reason": reason})

    assert {shown(reason) for reason in Loss} == {0}
    losses.add(Loss.UNREACHABLE, 3)
    assert (shown(Loss.UNREACHABLE), shown(Loss.CORRUPT)) == (3, 0)
