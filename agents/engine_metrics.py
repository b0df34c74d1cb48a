"""What an inference agent's models do, for Prometheus: loads, evictions, bytes, batches, files and where from."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from agents.inference.batcher import BatchCounts
from agents.inference.models import LoadedModel, LoadedModels


class EngineMetrics:
    """A collector of Prometheus' client; reads figures that others keep."""

    def __init__(self, models: LoadedModels, batches: BatchCounts) -> None:
        self._models = models
        self._batches = batches

    def collect(self) -> Iterator[Metric]:
        """All of them; per model only for those in memory, whose number is bounded."""
        models, counts, fetches = self._models.loaded(), self._models.counts, self._models.cache.fetches
        events = CounterMetricFamily("swarmex_model_events", "What happened to models in memory.", labels=["event"])
        for event in ("hits", "loads", "refusals", "evictions", "unloads"):
            events.add_metric([event], getattr(counts, event))
        files = CounterMetricFamily("swarmex_model_files", "Model files fetched, by source.", labels=["source"])
        files.add_metric(["store"], fetches.from_store)
        files.add_metric(["peer"], fetches.from_peers)
        yield events
        yield files
        yield GaugeMetricFamily("swarmex_models_loaded", "Models in memory.", value=len(models))
        yield GaugeMetricFamily(
            "swarmex_model_memory_bytes", "Memory of loaded models, estimated.", value=sum(m.size_bytes for m in models)
        )
        yield GaugeMetricFamily("swarmex_model_memory_limit_bytes", "What they may take.", value=self._models.bytes_max)
        for name, value, about in (
            ("runs", self._batches.runs, "Runs for real-time requests."),
            ("requests", self._batches.requests, "Real-time requests that shared them."),
            ("rows", self._batches.rows, "Their rows."),
        ):
            yield CounterMetricFamily(f"swarmex_batch_{name}", about, value=value)
        yield from _measured(models)


def _measured(models: list[LoadedModel]) -> Iterator[Metric]:
    """Time on this machine, as the first runs showed it: a call takes the one, and for each row the other."""
    call = GaugeMetricFamily("swarmex_model_call_seconds", "Measured time of a call.", labels=["model", "version"])
    row = GaugeMetricFamily("swarmex_model_row_seconds", "Measured time of a row.", labels=["model", "version"])
    for model in models:
        if model.profile is not None:
            labels = [model.ref.name, str(model.ref.version)]
            call.add_metric(labels, model.profile.us_per_call / 1e6)
            row.add_metric(labels, model.profile.us_per_row / 1e6)
    yield call
    yield row
