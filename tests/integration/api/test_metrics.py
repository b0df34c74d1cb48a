"""`/metrics`: aggregates of the books, for admins, in the format that Prometheus reads."""

from datetime import timedelta

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from backend.api.exposition import KEPT, Exposition
from backend.bootstrap import Swarmex, utc_now
from backend.domain.events import Event, Topic
from backend.domain.observations import BreakerSeen
from backend.messaging.channels import channel_of
from backend.services import audit, deposits, incidents, metrics
from backend.services.metrics import Figures
from tests.integration.api.callers import Callers, problem
from tests.integration.api.conftest import FUNDS_NANO
from tests.integration.api.requests import workload
from tests.integration.api.supply import Supply
from tests.waiting import PATIENCE_S, until


def figures_of(document: str) -> dict[str, float]:
    """Every sample by name and label's value."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(document)
        for sample in family.samples
    }


def scrape(client: httpx.Client) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return figures_of(answer.text)


def read(market: Swarmex) -> dict[str, float]:
    """What a scrape would show now, whatever was shown a moment ago."""
    return figures_of(Exposition(lambda now: metrics.figures(market.uow(), now)).text(utc_now()).decode())


def test_metrics_are_shown_to_admins_only(callers: Callers) -> None:
    assert "swarmex_ledger_balances_sum_nano" in scrape(callers.admin)
    assert problem(callers.provider.get("/metrics"))[0] == 403
    assert problem(callers.stranger.get("/metrics"))[0] == 401


def test_money_is_shown_by_kind_and_sums_to_nothing(callers: Callers, market: Swarmex) -> None:
    shown = read(market)
    assert shown["swarmex_ledger_money_nano wallet"] == FUNDS_NANO
    assert shown["swarmex_ledger_money_nano world"] == -FUNDS_NANO
    assert shown["swarmex_ledger_accounts wallet"] == 3
    assert shown["swarmex_ledger_balances_sum_nano"] == 0


def test_nothing_of_any_one_account_is_shown(callers: Callers, market: Swarmex) -> None:
    shown = callers.admin.get("/metrics").text
    for client in (callers.user, callers.provider, callers.admin):
        assert str(client.account_id) not in shown
    assert "-account" not in shown


def test_what_the_audits_found_is_shown_by_mode(callers: Callers, market: Swarmex) -> None:
    assert not [name for name in read(market) if "ledger_audit" in name]
    audit.audit_recent(market.uow(), utc_now() - timedelta(minutes=1))
    shown = read(market)
    assert (shown["swarmex_ledger_audit_ok incremental"], shown["swarmex_ledger_audit_differences incremental"]) == (
        1,
        0,
    )
    assert 60 <= shown["swarmex_ledger_audit_age_seconds incremental"] < 600
    with market.engine.begin() as connection:
        connection.execute(text("UPDATE ledger_accounts SET posted_nano = posted_nano + 5 WHERE kind = 'fees'"))
    audit.audit_recent(market.uow(), utc_now())
    audit.keep(market.uow(), utc_now(), audit.audit_ledger(market.uow()))
    shown = read(market)
    for mode in ("incremental", "full"):
        assert shown[f"swarmex_ledger_audit_ok {mode}"] == 0
        assert shown[f"swarmex_ledger_audit_differences {mode}"] == 2
        for invariant, broken in (("balance", 1), ("sum of all balances", 1), ("reserved", 0), ("document billed", 0)):
            assert shown[f"swarmex_ledger_invariant_violations {invariant} {mode}"] == broken
    assert shown["swarmex_ledger_balances_sum_nano"] == 5


def test_what_waits_is_shown(callers: Callers, market: Swarmex, supply: Supply) -> None:
    supply.clearing.clear()
    placed = callers.user.post("/api/v1/orders", json=workload(model="scale"))
    assert placed.status_code == 201
    with market.engine.begin() as connection:
        connection.execute(text("UPDATE holds SET expires_at = now() - interval '1 hour' WHERE state = 'pending'"))
        left = connection.execute(text("SELECT count(*), sum(amount_nano) FROM holds WHERE state = 'pending'")).one()
    shown = read(market)
    assert shown["swarmex_ledger_holds_pending"] == left[0] >= 1
    assert shown["swarmex_ledger_holds_pending_nano"] == left[1]
    assert 3_600 <= shown["swarmex_ledger_holds_overdue_seconds"] < 4_200
    assert shown["swarmex_ledger_reserved_nano wallet"] == left[1]
    for name in ("usage_unpaid", "usage_unpaid_nano", "disputes_open", "payouts_waiting_nano"):
        assert shown[f"swarmex_ledger_{name}"] == 0
    for state in ("requested", "approved"):
        assert shown[f"swarmex_ledger_payouts_waiting {state}"] == 0


def test_incidents_that_go_on_are_counted_by_kind(callers: Callers, market: Swarmex) -> None:
    assert read(market)["swarmex_incidents_open breaker_open"] == 0
    incidents.watch(market.uow(), utc_now(), [BreakerSeen("bus", True), BreakerSeen("queues", True)])
    assert read(market)["swarmex_incidents_open breaker_open"] == 2
    incidents.watch(market.uow(), utc_now() + timedelta(minutes=1), ())
    assert read(market)["swarmex_incidents_open breaker_open"] == 0


def test_events_that_the_bus_refuses_are_counted_by_their_reason(
    callers: Callers, market: Swarmex, redis_url: str, namespace: str
) -> None:
    with redis.Redis.from_url(redis_url, socket_timeout=PATIENCE_S) as client:

        def refused() -> bool:
            client.publish(channel_of(namespace, Event(Topic.KEYS_CHANGED)), b"\xff not ours")
            return scrape(callers.admin)["swarmex_bus_events_lost_total corrupt"] > 0

        until(refused, "the frame is counted")


def test_a_reading_that_failed_is_not_shown_again() -> None:
    asked = []

    def figures(now: object) -> Figures:
        asked.append(now)
        raise ConnectionError

    exposition = Exposition(figures)
    for _ in range(2):
        with pytest.raises(ConnectionError):  # a failure is not remembered
            exposition.text(utc_now())
    assert len(asked) == 2


def test_figures_are_read_anew_when_they_are_a_second_old(callers: Callers, market: Swarmex) -> None:
    exposition = Exposition(lambda now: metrics.figures(market.uow(), now))
    now = utc_now()
    before = figures_of(exposition.text(now).decode())
    deposits.deposit(market.uow(), now, callers.user.account_id, 1, "one nano")
    assert figures_of(exposition.text(now + KEPT / 2).decode()) == before
    after = figures_of(exposition.text(now + KEPT).decode())
    assert after["swarmex_ledger_money_nano wallet"] - before["swarmex_ledger_money_nano wallet"] == 1
