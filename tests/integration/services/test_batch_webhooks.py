"""Webhooks of batches: told at least once, signed as OpenAI's client checks it, and never into our own network."""

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from openai import OpenAI
from openai.types.webhooks import BatchCompletedWebhookEvent

from backend.bootstrap import utc_now
from backend.domain.errors import Invalid
from backend.domain.ids import AccountId, DeliveryId
from backend.messaging import look_ups
from backend.messaging.account_webhooks import AccountWebhooks, Call, is_public
from backend.services import batch_telling, orders
from backend.services.batch_telling import webhook_secret
from backend.services.deliveries import ATTEMPTS_MAX
from backend.storage.account_deliveries import CLAIMED_OF_ACCOUNT_MAX, AccountDelivery
from backend.storage.ids import new_id
from tests.integration.receiver import Receiver, receiving
from tests.integration.services.batching import Batching, lines
from tests.market import Market
from tests.waiting import PATIENCE_S, until

SECRET = "a secret of some length"


@pytest.fixture
def batching(market: Market, tmp_path: Path) -> Batching:
    """A market with a node that takes batches."""
    market.node("a", slots=4)
    return Batching(market, tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Who is told."""
    with receiving() as up:
        yield up


def owed(market: Market, subject: str) -> list[AccountDelivery]:
    """What is, or was, owed about a batch."""
    with market.app.uow() as uow:
        return uow.account_deliveries.of_subject(subject)


def test_the_end_of_a_batch_is_told_and_openais_client_checks_the_signature(
    batching: Batching, market: Market, receiver: Receiver
) -> None:
    name = batching.submit(lines(2), swarmex_webhook=f"{receiver.url}/hook")
    ended = batching.run(name, market.executor())
    sender = AccountWebhooks(["127.0.0.1"])
    assert batch_telling.deliver(market.app.uow(), utc_now(), SECRET, sender.send, 0.0) == 1
    assert batch_telling.deliver(market.app.uow(), utc_now(), SECRET, sender.send, 0.0) == 0
    [(headers, body)] = receiver.got
    client = OpenAI(api_key="any", webhook_secret=webhook_secret(SECRET, market.buyer.account_id))
    told = client.webhooks.unwrap(body, headers)
    assert isinstance(told, BatchCompletedWebhookEvent)
    assert told.data.id == name
    assert json.loads(body)["object"] == "event"
    [delivery] = owed(market, f"batch {ended.batch.id}")
    assert (delivery.status, delivery.attempts, delivery.error) == (200, 1, None)
    with pytest.raises(Exception, match="signature"):
        OpenAI(api_key="any", webhook_secret=webhook_secret("another", market.buyer.account_id)).webhooks.unwrap(
            body, headers
        )


def test_a_failed_batch_is_told_too(batching: Batching, market: Market) -> None:
    name = batching.submit(["no json"], swarmex_webhook="https://example.com/hook")
    batching.work()
    [delivery] = owed(market, f"batch {batching.show(name).batch.id}")
    assert delivery.body["type"] == "batch.failed"


def test_the_end_of_an_order_is_told_once_where_it_was_asked_for(market: Market) -> None:
    market.node("a", slots=4)
    [told, _] = [*market.place(webhook="https://example.com/hook"), *market.place()]
    assert not batch_telling.owe_ended_orders(market.app.uow(), utc_now())
    assert owed(market, f"order {told.id}") == []
    market.run(market.executor())
    for _ in range(2):
        batch_telling.owe_ended_orders(market.app.uow(), utc_now())
    [delivery] = owed(market, f"order {told.id}")
    assert (delivery.body["type"], delivery.url) == ("order.settled", "https://example.com/hook")
    with pytest.raises(Invalid) as refused:
        orders.quote(market.app.uow(), utc_now(), market.request(webhook="nowhere"))
    assert refused.value.field == "webhook"


def test_what_is_not_taken_is_sent_again_later_and_given_up_in_the_end(batching: Batching, market: Market) -> None:
    name = batching.submit([], swarmex_webhook="http://127.0.0.1:1/hook")
    batching.work()
    sender, now = AccountWebhooks(["127.0.0.1"]), utc_now()
    for attempt in range(1, ATTEMPTS_MAX + 1):
        assert batch_telling.deliver(market.app.uow(), now, SECRET, sender.send, 0.0) == 1
        [delivery] = owed(market, f"batch {batching.show(name).batch.id}")
        assert (delivery.attempts, delivery.status) == (attempt, None)
        assert batch_telling.deliver(market.app.uow(), now, SECRET, sender.send, 0.0) == 0
        now += timedelta(hours=1)
    assert delivery.done_at is not None


@pytest.mark.parametrize(
    ("host", "why"),
    [
        *((ip, "public") for ip in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "224.0.0.1")),
        *((ip, "public") for ip in ("１２７.0.0.1", "127。0。0。1", "①27.0.0.1", "１６９.254.169.254")),  # noqa: RUF001
        *((f"[{ip}]", "public") for ip in ("::1", "::ffff:127.0.0.1", "fd00::1", "64:ff9b::7f00:1")),
        *((name, "DNS") for name in ("localhost", "localhost.localdomain")),
        *((short, "InvalidUrl") for short in ("127.1", "2130706433")),
    ],
)
def test_accounts_cannot_have_us_call_what_is_not_public(host: str, why: str) -> None:
    [outcome] = AccountWebhooks().send([Call("msg_1", f"https://{host}/latest", "whsec_c2VjcmV0", b"{}")])
    assert (outcome.taken, outcome.status) == (False, None)
    assert why in (outcome.error or "")


@pytest.mark.parametrize("host", ["127.0.0.1", "１２７.0.0.1", "127。0。0。1", "①27.0.0.1", "127.1", "0x7f.1"])  # noqa: RUF001
def test_no_spelling_of_an_address_that_is_not_public_is_connected_to(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://{host}:{listener.getsockname()[1]}/"
        [outcome] = AccountWebhooks().send([Call("msg_1", url, "whsec_c2VjcmV0", b"{}")])
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not outcome.taken


def test_a_name_that_takes_for_ever_to_find_holds_up_nobody(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, found = socket.getaddrinfo, Event()

    def slow(host: str, *more: Any, **named: Any) -> Any:
        if host == "slow.example":
            found.wait(PATIENCE_S)
        return find(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    calls = [Call(f"msg_{url}", url, "whsec_c2VjcmV0", b"{}") for url in ("https://slow.example/", receiver.url)]
    try:
        late, told = AccountWebhooks(["127.0.0.1"], timeout_s=1.0).send(calls)
        assert not found.is_set(), "it was not waited for"
    finally:
        found.set()
    assert (late.taken, late.error, told.taken) == (False, "no answer within 1 s", True)
    until(lambda: not look_ups._under_way, "no thread is left behind")


def test_what_is_sent_is_encrypted_unless_the_operator_allowed_the_host(receiver: Receiver) -> None:
    [outcome] = AccountWebhooks(["elsewhere"]).send([Call("msg_1", receiver.url, "whsec_c2VjcmV0", b"{}")])
    assert (outcome.taken, outcome.error, receiver.got) == (False, "only https is called", [])


def test_a_receiver_that_redirects_sends_us_nowhere(receiver: Receiver) -> None:
    receiver.answers = [302]
    call = Call("msg_1", receiver.url, "whsec_c2VjcmV0", b"{}")
    [outcome] = AccountWebhooks(["127.0.0.1"]).send([call])
    assert (outcome.taken, outcome.status, len(receiver.got)) == (False, 302, 1)


def test_a_receiver_that_hangs_is_given_up_and_the_others_are_told(receiver: Receiver) -> None:
    receiver.answers = [0]
    calls = [Call(f"msg_{n}", receiver.url, "whsec_c2VjcmV0", b"{}") for n in range(3)]
    outcomes = AccountWebhooks(["127.0.0.1"], timeout_s=1.0).send(calls)
    assert sorted(outcome.taken for outcome in outcomes) == [False, True, True]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((ip, True) for ip in ("8.8.8.8", "2606:4700::1111", "2002:808:808::")),
        *((ip, False) for ip in ("192.168.0.1", "100.64.0.1", "224.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::")),
        *((ip, False) for ip in ("64:ff9b::a00:1", "64:ff9b:1::a00:1", "::a00:1", "::ffff:0:a00:1", "fec0::1")),
        *((ip, False) for ip in ("2001:0:4136:e378::", "::7f00:1", "feff::1", "64:ff9b:1:ffff::1")),
    ],
)
def test_an_address_is_public_by_what_it_reaches(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_an_account_whose_receiver_hangs_holds_up_no_other(market: Market) -> None:
    now, other = utc_now(), market.account("other").account_id
    url = "https://receiver.example/hook"

    def one(account: AccountId, subject: str) -> AccountDelivery:
        return AccountDelivery(
            id=DeliveryId(new_id()), account_id=account, subject=subject, url=url, body={}, due_at=now
        )

    with market.app.uow() as uow:
        uow.account_deliveries.add([one(market.buyer.account_id, f"batch {number}") for number in range(50)])
        uow.account_deliveries.add([one(other, "batch of another")])
        claimed = uow.account_deliveries.claim(now, now + timedelta(minutes=1), 20)
        again = uow.account_deliveries.claim(now, now + timedelta(minutes=1), 20)
    assert [delivery.account_id for delivery in claimed].count(other) == 1
    assert len(claimed) == CLAIMED_OF_ACCOUNT_MAX + 1
    assert [delivery.subject for delivery in again] == [f"batch {number}" for number in range(4, 8)]
