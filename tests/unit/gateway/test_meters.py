"""How real-time requests are counted, and how many series that may make."""

from backend.gateway.meters import MODELS_MAX, NODES_MAX, Meters
from backend.messaging.bounded_labels import OTHER


def samples(meters: Meters) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value for family in meters.collect() for sample in family.samples
    }


def test_requests_are_counted_by_outcome_and_timed_when_they_were_served() -> None:
    meters = Meters()
    meters.served("digits", "large", 0.004)
    meters.failed("digits", "large", "node_failed")
    meters.node_answered("a", 0.003)
    meters.node_failed("a", "node_failed")
    shown = samples(meters)
    assert shown["swarmex_inference_requests_total", "digits", "large", "served"] == 1
    assert shown["swarmex_inference_requests_total", "digits", "large", "node_failed"] == 1
    assert shown["swarmex_inference_seconds_count", "digits", "large"] == 1
    assert shown["swarmex_inference_seconds_bucket", "digits", "large", "0.0025"] == 0
    assert shown["swarmex_inference_seconds_bucket", "digits", "large", "0.005"] == 1
    assert shown["swarmex_node_seconds_count", "a"] == 1
    assert shown["swarmex_node_failures_total", "a", "node_failed"] == 1


def test_however_many_models_and_nodes_there_are_the_series_stay_few() -> None:
    meters = Meters()
    for number in range(3 * NODES_MAX):
        meters.served(f"model-{number}", "large", 0.001)
        meters.node_answered(f"node-{number}", 0.001)
    shown = samples(meters)
    models = {labels[0] for name, *labels in shown if name == "swarmex_inference_seconds_count"}
    nodes = {labels[0] for name, *labels in shown if name == "swarmex_node_seconds_count"}
    assert (len(models), len(nodes)) == (MODELS_MAX + 1, NODES_MAX + 1)
    assert shown["swarmex_inference_seconds_count", OTHER, "large"] == 3 * NODES_MAX - MODELS_MAX
