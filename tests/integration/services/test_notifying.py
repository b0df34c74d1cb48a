"""The webhook hears of every change: owed with it, sent by one at a time, again until it is taken or given up."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Forbidden
from backend.domain.ids import AccountId
from backend.domain.observations import BreakerSeen
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.webhook import DELIVERY, Message, Outcome, Webhook
from backend.services import incidents, log, notifying
from backend.services.deliveries import ATTEMPTS_MAX, pause_s
from backend.services.notifying import CLAIM, SEND_MAX
from backend.storage.deliveries import Delivery
from tests.integration.receiver import Receiver, receiving
from tests.integration.services.clock import in_seconds
from tests.market import Market

ADMIN = Principal(None, AccountId(new_id()), Role.ADMIN)
LONG_S = 3_600.0


def trouble(market: Market, *names: str, seconds: float = 0.0) -> None:
    """Breakers that are open, as one look sees them."""
    seen = [BreakerSeen(name, True) for name in names]
    incidents.watch(market.app.uow(), in_seconds(seconds), seen, webhook=True)


def owed(market: Market) -> list[Delivery]:
    """All deliveries, of whatever incident."""
    found = incidents.list_incidents(market.app.uow())
    return [one for i in found for one in incidents.show_incident(market.app.uow(), i.id).deliveries]


def to(receiver: Receiver) -> notifying.Send:
    breaker = Breaker("webhook", BreakerPolicy(fail_max=100))
    return Webhook(receiver.url, "sixteen letters!", breaker, timeout_s=10.0).send


def deliver(market: Market, send: notifying.Send, now: datetime | None = None) -> int:
    return notifying.deliver(market.app.uow(), now or utc_now(), send, 0.0)


def test_opening_and_ending_are_told_each_once(market: Market) -> None:
    trouble(market, "bus")
    with receiving() as receiver:
        assert deliver(market, to(receiver)) == 1
        trouble(market, "bus")
        trouble(market, seconds=LONG_S)
        assert deliver(market, to(receiver), in_seconds(LONG_S)) == 1
        assert deliver(market, to(receiver), in_seconds(2 * LONG_S)) == 0
    opened, over = receiver.bodies
    assert (opened["version"], opened["event"], opened["state"]) == (1, "opened", "open")
    assert (opened["kind"], opened["subject"], opened["severity"]) == ("breaker_open", "bus", "warning")
    assert (over["event"], over["id"], over["opened_at"]) == ("resolved", opened["id"], opened["opened_at"])
    assert over["resolved_at"] is not None
    assert len({headers[DELIVERY] for headers, _ in receiver.got}) == 2


def test_without_a_webhook_nothing_is_owed(market: Market) -> None:
    incidents.watch(market.app.uow(), utc_now(), [BreakerSeen("bus", True)])
    assert owed(market) == []


def test_what_is_not_taken_is_tried_again_later_each_time_and_given_up_at_last(market: Market) -> None:
    trouble(market, "bus")
    now = in_seconds(1)
    with receiving(*[500] * (2 * ATTEMPTS_MAX)) as receiver:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            assert deliver(market, to(receiver), now) == 1
            assert deliver(market, to(receiver), now) == 0, "not at once"
            [one] = owed(market)
            assert (one.attempts, one.status) == (attempt, 500)
            now += timedelta(seconds=pause_s(attempt, 0.0))
        assert one.done_at is not None
        assert one.error == "answered 500"
        assert deliver(market, to(receiver), now + timedelta(days=1)) == 0
        assert len(receiver.got) == ATTEMPTS_MAX
        assert len({headers[DELIVERY] for headers, _ in receiver.got}) == 1, "a repeat is known by its id"


def test_pauses_double_to_a_bound_and_are_spread() -> None:
    assert [pause_s(attempts, 0.0) for attempts in (1, 2, 3, 30)] == [1.0, 2.0, 4.0, 600.0]
    assert pause_s(3, 0.999) > 2.0


def test_one_that_hangs_costs_one_time_out_and_the_watch_goes_on_meanwhile(market: Market) -> None:
    trouble(market, "bus")
    with receiving(0) as receiver:
        sending = threading.Thread(target=deliver, args=(market, to(receiver)))
        sending.start()
        while not receiver.got:
            assert sending.is_alive()
        trouble(market, "bus", "queues")
        assert deliver(market, to(receiver)) == 1, "the new one; the other is under way"
        sending.join()
    assert sorted((one.attempts, one.done_at is not None) for one in owed(market)) == [(1, False), (1, True)]
    assert len(receiver.got) == 2


def test_what_a_dead_sender_had_claimed_is_sent_by_another_after_its_claim(market: Market) -> None:
    trouble(market, "bus")

    def dies(_: Sequence[Message]) -> list[Outcome]:
        raise SystemExit

    with pytest.raises(SystemExit):
        deliver(market, dies)
    with receiving() as receiver:
        assert deliver(market, to(receiver)) == 0
        assert deliver(market, to(receiver), utc_now() + CLAIM) == 1
    assert len(receiver.got) == 1


def test_what_the_breaker_holds_back_is_no_attempt(market: Market) -> None:
    trouble(market, "bus")
    deliver(market, lambda messages: [Outcome(False, error="open", held_back=True, retry_s=20.0) for _ in messages])
    [one] = owed(market)
    assert (one.attempts, one.done_at) == (0, None)
    with receiving() as receiver:
        assert deliver(market, to(receiver), in_seconds(15)) == 0
        assert deliver(market, to(receiver), in_seconds(21)) == 1


def test_many_are_sent_in_bounded_rounds_by_senders_that_do_not_get_the_same(market: Market) -> None:
    trouble(market, *(f"node:{number}" for number in range(3 * SEND_MAX)))
    with receiving() as receiver:
        send = to(receiver)
        threads = [threading.Thread(target=deliver, args=(market, send)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(receiver.got) == 3 * SEND_MAX
    assert len({headers[DELIVERY] for headers, _ in receiver.got}) == 3 * SEND_MAX


def test_a_test_is_sent_at_once_marked_and_logged(market: Market) -> None:
    with receiving() as receiver:
        assert notifying.send_test(market.app.uow(), utc_now(), ADMIN, to(receiver)).taken
        assert receiver.bodies[0]["event"] == "test"
        with pytest.raises(Forbidden):
            notifying.send_test(market.app.uow(), utc_now(), market.buyer, to(receiver))
        assert len(receiver.got) == 1
    assert [entry.action for entry in log.list_entries(market.app.uow(), action="webhook.")] == ["webhook.test"]
    assert incidents.list_incidents(market.app.uow()) == []
