"""`swarmex order place --webhook`: who is told of an order's end, how far that is, and what signs it."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from openai import OpenAI

from backend.bootstrap import utc_now
from backend.messaging.account_webhooks import AccountWebhooks
from backend.services import batch_telling
from backend.services.deliveries import ATTEMPTS_MAX
from tests.integration.cli.runner import Cli
from tests.integration.receiver import Receiver, receiving
from tests.market import REQUEST, Market

ASKED = ("order", "place", "--account", "buyer", "--model", "doubling", "--tier", "medium", "--input")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Who is told."""
    with receiving() as up:
        yield up


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    """One request."""
    path = tmp_path / "request.json"
    path.write_bytes(orjson.dumps(REQUEST))
    return path


def deliver(market: Market) -> None:
    """One round of what is owed, as the settlement agent does it."""
    app = market.app
    batch_telling.owe_ended_orders(app.uow(), utc_now())
    batch_telling.deliver(app.uow(), utc_now(), app.link_secret, AccountWebhooks(["127.0.0.1"]).send, 0.0)


def test_an_orders_end_is_told_and_checked_with_the_secret_that_was_printed(
    cli: Cli, market: Market, receiver: Receiver, request_file: Path
) -> None:
    market.node("fog-1")
    executor = market.executor()
    placed = cli.json(*ASKED, request_file, "--webhook", f"{receiver.url}/hook")
    [order], hook = placed["orders"], placed["webhook"]
    assert (hook["url"], hook["state"]) == (f"{receiver.url}/hook", "waiting")
    assert "will not be told: only https is called" in cli.run("order", "show", order["id"]).out, "nobody allowed it"
    market.run(executor)
    deliver(market)
    [(headers, body)] = receiver.got
    OpenAI(api_key="any", webhook_secret=hook["secret"]).webhooks.unwrap(body, headers)
    told = orjson.loads(body)
    assert (told["type"], told["data"]["id"]) == ("order.settled", order["id"])
    with pytest.raises(Exception, match="signature"):
        OpenAI(api_key="any", webhook_secret=hook["secret"]).webhooks.unwrap(body + b" ", headers)
    shown = cli.json("order", "show", order["id"])["webhook"]
    assert (shown["state"], shown["status"], shown["attempts"]) == ("told", 200, 1)
    assert "told, answered 200" in cli.run("order", "show", order["id"]).out


def test_a_receiver_that_takes_nothing_is_seen_to_be_tried_again(
    cli: Cli, market: Market, receiver: Receiver, request_file: Path
) -> None:
    receiver.answers = [500]
    market.node("fog-1")
    executor = market.executor()
    [order] = cli.json(*ASKED, request_file, "--webhook", receiver.url)["orders"]
    market.run(executor)
    deliver(market)
    shown = cli.json("order", "show", order["id"])["webhook"]
    assert (shown["state"], shown["status"], shown["error"]) == ("owed", 500, "answered 500")
    assert shown["next_attempt_at"]
    assert f"attempt 1 of {ATTEMPTS_MAX}: answered 500" in cli.run("order", "show", order["id"]).out


def test_an_order_without_one_tells_nobody(cli: Cli, market: Market, request_file: Path) -> None:
    market.node("fog-1")
    market.executor()
    assert "told at the end" in cli.run(*ASKED, request_file, "--webhook", "https://example.com/hook").out
    placed = cli.json(*ASKED, request_file)
    assert placed["webhook"] is None
    assert "webhook" not in cli.run("order", "show", placed["orders"][0]["id"]).out


def test_an_address_that_cannot_be_called_is_refused_and_nothing_is_placed(
    cli: Cli, market: Market, request_file: Path
) -> None:
    market.node("fog-1")
    market.executor()
    for wrong in ("example.com", "ftp://example.com", "https://user:secret@example.com", "https://"):
        assert cli.refused(*ASKED, request_file, "--webhook", wrong) == ("invalid_webhook", "webhook")
        assert cli.refused(*ASKED, request_file, "--webhook", wrong, "--quote") == ("invalid_webhook", "webhook")
    assert cli.json("order", "list") == []
