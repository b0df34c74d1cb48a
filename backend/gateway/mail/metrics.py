"""The mailboxes of nodes that cannot be dialled, in Prometheus' terms, as this process sees them."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.gateway.mail.post import Post

OUTCOMES = ("answered", "withdrawn", "refused", "lost", "deserted")


class MailMetrics(Collector):
    """Read at every scrape: it costs no round trip."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def collect(self) -> Iterator[Metric]:
        counts, open_mail = self._post.mailbox.counts, self._post.watch.figures()
        about = "Requests left for nodes that cannot be dialled, by what became of them."
        ended = CounterMetricFamily("swarmex_mail_requests", about, labels=["outcome"])
        for outcome in OUTCOMES:
            ended.add_metric([outcome], getattr(counts, outcome))
        yield ended
        about = "Requests that nodes fetched by polls of this process, and those handed back since the poll had left."
        fetched = CounterMetricFamily("swarmex_mail_fetched", about, labels=["outcome"])
        fetched.add_metric(["fetched"], counts.fetched)
        fetched.add_metric(["returned"], counts.returned)
        yield fetched
        now = GaugeMetricFamily("swarmex_mail_open", "Requests that wait, or that a node has.", labels=["state"])
        age = GaugeMetricFamily("swarmex_mail_age_seconds", "Age of the oldest of them.", labels=["state"])
        now.add_metric(["waiting"], open_mail.waiting)
        now.add_metric(["fetched"], open_mail.fetched)
        age.add_metric(["waiting"], open_mail.oldest_waiting_s)
        age.add_metric(["fetched"], open_mail.oldest_fetched_s)
        yield from (now, age)
