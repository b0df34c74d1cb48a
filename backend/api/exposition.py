"""The market's figures in Prometheus' text format, read from the database at most once a second."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.api.market_metrics import MarketMetrics
from backend.domain.incidents import IncidentKind
from backend.services.audit import violations
from backend.services.metrics import Figures

KEPT = timedelta(seconds=1)  # several scrapers, or an impatient one, cost the database no more than this
US_PER_S = 1_000_000


class Exposition:
    """One per process; safe to call from any thread. `own` are figures of the process itself, never kept."""

    def __init__(self, read: Callable[[datetime], Figures], own: Sequence[Collector] = ()) -> None:
        self._read = read
        self._own = own
        self._lock = threading.Lock()
        self._figures: Figures | None = None

    def text(self, now: datetime) -> bytes:
        """All metrics; raises what reading them raises."""
        with self._lock:
            if self._figures is None or not timedelta(0) <= now - self._figures.at < KEPT:
                self._figures = self._read(now)
            figures = self._figures
        registry = CollectorRegistry(auto_describe=False)
        for collector in (_Ledger(figures), MarketMetrics(figures.going_on), *self._own):
            registry.register(collector)
        return generate_latest(registry)


class _Ledger(Collector):
    """Nano-credits are exact below 2⁵³, nine million credits; the sum of all balances is exact in any case."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._money()
        yield from self._audits()
        yield from self._waiting()
        incidents = GaugeMetricFamily("swarmex_incidents_open", "Incidents that go on.", labels=["kind"])
        for kind in IncidentKind:
            incidents.add_metric([kind], self._figures.incidents.get(kind, 0))
        yield incidents

    def _money(self) -> Iterator[GaugeMetricFamily]:
        money = self._figures.money
        yield _gauge(
            "balances_sum_nano", "Sum of all balances: 0, or money was made or lost.", sum(m.posted_nano for m in money)
        )
        yield _gauge("accounts", "Ledger accounts.", {"kind": {m.kind: m.accounts for m in money}})
        yield _gauge("money_nano", "Balances, in nano-credits.", {"kind": {m.kind: m.posted_nano for m in money}})
        yield _gauge("reserved_nano", "Set aside, in nano-credits.", {"kind": {m.kind: m.reserved_nano for m in money}})

    def _audits(self) -> Iterator[GaugeMetricFamily]:
        runs, at = self._figures.audits, self._figures.at
        ages = {run.mode: (at - run.audited_at).total_seconds() for run in runs}
        wrong = {run.mode: len(run.differences) for run in runs}
        took = {run.mode: run.took_us / US_PER_S for run in runs}
        transfers = {run.mode: run.transfers for run in runs}
        yield _gauge("audit_ok", "1 if the newest audit found nothing wrong.", {"mode": {r.mode: r.ok for r in runs}})
        yield _gauge("audit_differences", "Figures that it found wrong.", {"mode": wrong})
        invariants = GaugeMetricFamily(
            "swarmex_ledger_invariant_violations",
            "Accounts, holds, orders and so on for which an invariant does not hold, by that audit.",
            labels=["mode", "invariant"],
        )
        for run in runs:
            for figure, count in violations(run).items():
                invariants.add_metric([run.mode, figure], count)
        yield invariants
        yield _gauge("audit_age_seconds", "Time since it was made.", {"mode": ages})
        yield _gauge("audit_took_seconds", "How long it took.", {"mode": took})
        yield _gauge("audit_transfers", "Transfers that it looked at.", {"mode": transfers})

    def _waiting(self) -> Iterator[GaugeMetricFamily]:
        waiting, at = self._figures.waiting, self._figures.at
        oldest = waiting.holds_oldest_expiry
        overdue_s = max(0.0, (at - oldest).total_seconds()) if oldest else 0.0
        payouts = {"requested": waiting.payouts_requested, "approved": waiting.payouts_approved}
        yield _gauge("holds_pending", "Holds that are not resolved.", waiting.holds)
        yield _gauge("holds_pending_nano", "What is left of them, in nano-credits.", waiting.holds_nano)
        yield _gauge("holds_overdue_seconds", "How long the oldest is past its expiry.", overdue_s)
        yield _gauge("usage_unpaid", "Usage events that wait for money.", waiting.usage_unpaid)
        yield _gauge("usage_unpaid_nano", "What they cost, in nano-credits.", waiting.usage_unpaid_nano)
        yield _gauge("disputes_open", "Disputes to be decided.", waiting.disputes_open)
        yield _gauge("payouts_waiting", "Payouts to be approved, or to be paid.", {"state": payouts})
        yield _gauge("payouts_waiting_nano", "What they are of, in nano-credits.", waiting.payouts_nano)


def _gauge(name: str, about: str, values: float | Mapping[str, Mapping[str, float]]) -> GaugeMetricFamily:
    """A figure, or one for each value of a label."""
    if isinstance(values, (int, float)):
        return GaugeMetricFamily(f"swarmex_ledger_{name}", about, value=values)
    [(label, labelled)] = values.items()
    family = GaugeMetricFamily(f"swarmex_ledger_{name}", about, labels=[label])
    for value, figure in labelled.items():
        family.add_metric([value], figure)
    return family
