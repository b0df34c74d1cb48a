"""`swarmex alerts`: what goes on, what is known of it, who looks into it, and whether the webhook works."""

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.observations import BreakerSeen
from backend.services import incidents, log, notifying
from tests.integration.cli.runner import Cli
from tests.integration.receiver import receiving
from tests.integration.services.clock import in_seconds
from tests.market import Market


def trouble(market: Market) -> str:
    """An open breaker; the incident's id."""
    [opened] = incidents.watch(market.app.uow(), utc_now(), [BreakerSeen("bus", True)], webhook=True).opened
    return str(opened.id)


def test_what_goes_on_is_listed_and_what_is_over_with_all(cli: Cli, market: Market) -> None:
    assert cli.json("alerts", "list") == []
    incident = trouble(market)
    [listed] = cli.json("alerts", "list")
    assert (listed["id"], listed["kind"], listed["subject"], listed["state"]) == (
        incident,
        "breaker_open",
        "bus",
        "open",
    )
    assert cli.json("alerts", "list", "--kind", "node_lost") == []
    assert cli.json("alerts", "list", "--severity", "critical") == []
    assert incident in cli.run("alerts", "list").out
    incidents.watch(market.app.uow(), in_seconds(60), ())
    assert cli.json("alerts", "list") == []
    assert [one["state"] for one in cli.json("alerts", "list", "--all")] == ["resolved"]


def test_an_incident_is_shown_with_what_the_webhook_was_told(cli: Cli, market: Market) -> None:
    incident = trouble(market)
    [delivery] = cli.json("alerts", "show", incident)["deliveries"]
    assert (delivery["event"], delivery["attempts"], delivery["done_at"]) == ("opened", 0, None)
    assert "opened: not sent yet" in cli.run("alerts", "show", incident).out
    with receiving(500) as receiver:
        monkey = market.app.settings.model_copy(update={"alert_webhook": receiver.url})
        market.app.settings = monkey
        assert market.app.webhook is not None
        notifying.deliver(market.app.uow(), utc_now(), market.app.webhook.send, 0.0)
        assert "not taken yet, answered 500 (1 attempts)" in cli.run("alerts", "show", incident).out
        notifying.deliver(market.app.uow(), in_seconds(5), market.app.webhook.send, 0.0)
    assert "opened: taken (2 attempts)" in cli.run("alerts", "show", incident).out


def test_an_incident_is_acknowledged_once_and_logged(cli: Cli, market: Market) -> None:
    incident = trouble(market)
    first = cli.json("alerts", "ack", incident)
    assert first["acknowledged_at"] is not None
    assert cli.json("alerts", "ack", incident)["acknowledged_at"] == first["acknowledged_at"]
    assert len(log.list_entries(market.app.uow(), action="incident.acknowledge")) == 1


def test_what_is_not_there_is_refused(cli: Cli, market: Market) -> None:
    assert cli.refused("alerts", "show", new_id()) == ("unknown_incident", "incident")
    assert cli.refused("alerts", "ack", "everything") == ("invalid_incident", "incident")
    assert cli.run("alerts", "list", "--watch", "--json").document["error"]["code"] == "invalid_watch"


def test_the_webhook_is_tried_and_its_answer_told(cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.refused("alerts", "test") == ("no_webhook", "SWARMEX_ALERT_WEBHOOK")
    with receiving(200, 302, 302) as receiver:
        monkeypatch.setenv("SWARMEX_ALERT_WEBHOOK", receiver.url)
        monkeypatch.setenv("SWARMEX_ALERT_WEBHOOK_SECRET", "a secret of some length")
        assert cli.json("alerts", "test") == {"taken": True, "status": 200}
        assert receiver.bodies[0]["event"] == "test"
        assert cli.refused("alerts", "test") == ("webhook_failed", "SWARMEX_ALERT_WEBHOOK")
        assert set(receiver.paths) == {"/"}
    monkeypatch.setenv("SWARMEX_ALERT_WEBHOOK", "nowhere")
    assert cli.refused("alerts", "test") == ("invalid_setting", "SWARMEX_ALERT_WEBHOOK")
