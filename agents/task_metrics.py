"""What Celery tasks of this process did: counts and seconds by outcome, retries, and messages that were refused."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest

BUCKETS_S = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class TaskMetrics:
    """Safe to use from any thread; one per process. A collector of Prometheus' client itself."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "swarmex_task_seconds",
            "How long tasks took, by outcome; its count is how many there were.",
            ["task", "outcome"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._retries = Counter(
            "swarmex_task_retries", "Attempts that were repeated.", ["task"], registry=self._registry
        )
        self._refused = Counter(
            "swarmex_messages_refused", "Messages that were not ours.", ["reason"], registry=self._registry
        )

    def ended(self, task: str, outcome: str, seconds: float) -> None:
        """A task came to an end."""
        self._seconds.labels(task, outcome).observe(seconds)

    def retried(self, task: str) -> None:
        """A task begins again."""
        self._retries.labels(task).inc()

    def refused(self, reason: str) -> None:
        """A message was refused."""
        self._refused.labels(reason).inc()

    def value(self, sample: str, **labels: str) -> float:
        """A figure of these, 0 if there is none yet."""
        return self._registry.get_sample_value(sample, labels) or 0.0

    def collect(self) -> Iterator[Metric]:
        """All of them, for a registry that they are to appear in."""
        yield from self._registry.collect()

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
