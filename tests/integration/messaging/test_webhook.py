"""The webhook's sender against a real server that takes, refuses, hangs and redirects."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.domain.errors import Invalid
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.webhook import DELIVERY, SIGNATURE, Message, Outcome, Webhook, signature
from tests.integration.receiver import Receiver, receiving
from tests.waiting import PATIENCE_S, eventually

SECRET = "sixteen letters!"
MESSAGE = Message("0190a1b2", b'{"version":1}', 1_700_000_000)


def webhook(
    receiver: Receiver, fail_max: int = 3, secret: str | None = SECRET, timeout_s: float = PATIENCE_S
) -> Webhook:
    breaker = Breaker("webhook", BreakerPolicy(fail_max=fail_max, recovery_s=600.0))
    return Webhook(receiver.url, secret, breaker, timeout_s)


def test_what_is_sent_is_signed_with_its_time_and_carries_its_delivery() -> None:
    with receiving() as receiver:
        assert webhook(receiver).send([MESSAGE]) == [Outcome(True, 200)]
        [(headers, body)] = receiver.got
    assert body == MESSAGE.body
    assert headers[DELIVERY] == MESSAGE.id
    assert headers["Content-Type"] == "application/json"
    assert headers[SIGNATURE] == signature(SECRET, MESSAGE.sent_s, MESSAGE.body)
    assert SECRET not in str(headers)


def test_a_signature_is_the_hmac_of_time_and_body() -> None:
    # echo -n '1.{}' | openssl dgst -sha256 -hmac key
    assert signature("key", 1, b"{}") == "t=1,v1=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"


def test_without_a_secret_nothing_is_signed() -> None:
    with receiving() as receiver:
        webhook(receiver, secret=None).send([MESSAGE])
        assert SIGNATURE not in receiver.got[0][0]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving(status) as receiver:
        assert webhook(receiver).send([MESSAGE]) == [Outcome(False, status, f"answered {status}")]
        assert receiver.paths == ["/"]


def test_one_that_hangs_is_left_after_the_time_out() -> None:
    with receiving(0) as receiver:
        assert webhook(receiver, timeout_s=0.5).send([MESSAGE]) == [Outcome(False, error="no answer within 0.5 s")]


def test_one_that_hangs_does_not_hold_up_others() -> None:
    with receiving(0) as receiver, ThreadPoolExecutor(1) as thread:
        sending = thread.submit(webhook(receiver, timeout_s=PATIENCE_S).send, [MESSAGE] * 3)
        assert eventually(lambda: len(receiver.got) == 3), "the first has no answer yet"
        receiver.released.set()
        first, *rest = sorted(sending.result(PATIENCE_S), key=lambda one: one.taken)
    assert (first.taken, first.status) == (False, None)
    assert rest == [Outcome(True, 200)] * 2


def test_one_that_keeps_failing_is_let_alone_for_a_while() -> None:
    with receiving(500, 503) as receiver:
        sender = webhook(receiver, fail_max=2)
        assert [sender.send([MESSAGE])[0].status for _ in range(2)] == [500, 503]
        [held] = sender.send([MESSAGE])
        assert (held.taken, held.held_back) == (False, True)
        assert 0 < held.retry_s <= 600
        assert len(receiver.got) == 2


def test_a_refusal_of_one_message_does_not_trip_the_breaker() -> None:
    with receiving(400, 400, 400) as receiver:
        sender = webhook(receiver, fail_max=2)
        assert [sender.send([MESSAGE])[0].status for _ in range(4)] == [400, 400, 400, 200]


def test_nobody_there_is_an_outcome_that_does_not_tell_the_address() -> None:
    with receiving() as receiver:
        sender = webhook(receiver)
    [outcome] = sender.send([MESSAGE])
    assert (outcome.taken, outcome.status) == (False, None)
    assert outcome.error == "ClientConnectorError: Connection refused", "what happened, and not where"


@pytest.mark.parametrize("url", ["", "hooks.example.org", "ftp://example.org", "http://", "http://[", "http://h:99999"])
def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        Webhook(url, None, Breaker("webhook", BreakerPolicy()))
    assert (refused.value.code, refused.value.field) == ("invalid_setting", "SWARMEX_ALERT_WEBHOOK")
    assert url not in refused.value.message or not url


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        Webhook("http://example.org", "short", Breaker("webhook", BreakerPolicy()))
    assert refused.value.field == "SWARMEX_ALERT_WEBHOOK_SECRET"
    assert "short" not in refused.value.message
