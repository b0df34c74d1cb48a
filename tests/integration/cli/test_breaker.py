"""`swarmex breaker list`: what all processes know of breakers that are not closed."""

import pytest

from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breakers import Breakers
from tests.integration.cli.runner import Cli
from tests.market import Market
from tests.waiting import until

POLICY = BreakerPolicy(recovery_s=600.0)


def test_open_breakers_of_all_processes_are_listed(cli: Cli, market: Market) -> None:
    assert cli.json("breaker", "list") == []
    process = Breakers.on(market.app.redis_url, market.app.settings.bus_namespace)
    process.start()
    try:
        process.get("node", "10.0.0.7:9000", POLICY).open()
        process.get("node", "10.0.0.8:9000", POLICY)
        until(process.read, "it is told")
        [shown] = cli.json("breaker", "list")
        assert (shown["name"], shown["state"]) == ("node:10.0.0.7:9000", "open")
        assert 0 < shown["retry_s"] <= 600.0
        assert set(shown) == {"name", "state", "retry_s", "changed_at", "found_by"}
        assert "node:10.0.0.7:9000" in cli.run("breaker", "list").out
    finally:
        process.close()


def test_a_redis_that_is_away_is_named(cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMEX_REDIS_URL", "redis://127.0.0.1:1/0")
    assert cli.refused("breaker", "list") == ("redis_unreachable", None)
