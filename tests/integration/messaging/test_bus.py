"""The bus, on Redis and on its twin: prompt, best effort, and never in anybody's way."""

import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from backend.domain.events import Event, Topic
from backend.messaging.bus import OPEN_S
from backend.messaging.bus_metrics import BusMetrics
from backend.messaging.codec import FRAME_BYTES_MAX, KEY_CHARS_MAX, PAYLOAD_BYTES_MAX
from backend.messaging.losses import Loss
from backend.messaging.outbound import PUBLISH_MAX
from backend.messaging.ports import EventBus
from tests.integration.messaging.conftest import NAMESPACE
from tests.integration.messaging.listening import listen, received, wait_until
from tests.integration.messaging.servers import Server
from tests.waiting import FOREVER_S, PATIENCE_S

PLACED = Event(Topic.ORDERS_PLACED, "fog/eu")
CLOSED = Event(Topic.ORDERS_CLOSED)


def test_an_event_wakes_a_waiting_listener_at_once(bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    later = threading.Timer(0.1, bus.publish, [[PLACED]])
    later.start()
    assert subscription.wait(FOREVER_S) == (PLACED,)
    later.join()
    subscription.close()


def test_a_listener_hears_its_topics_only(bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_CLOSED, Topic.KEYS_CHANGED)
    bus.publish([PLACED, CLOSED])
    assert received(subscription, 1) == [CLOSED]
    assert subscription.wait(0.1) == ()
    subscription.close()


def test_every_listener_hears_every_event(bus: EventBus) -> None:
    listeners = [listen(bus, Topic.ORDERS_PLACED) for _ in range(3)]
    bus.publish([PLACED])
    assert [received(listener, 1) for listener in listeners] == [[PLACED]] * 3
    for listener in listeners:
        listener.close()


def test_namespaces_keep_deployments_apart(server: Server, bus: EventBus) -> None:
    other = server.bus(f"{NAMESPACE}-other")
    here, there = listen(bus, Topic.ORDERS_PLACED), listen(other, Topic.ORDERS_PLACED)
    bus.publish([PLACED])
    assert received(here, 1) == [PLACED]
    assert there.wait(0.2) == ()
    here.close()
    there.close()


def test_one_publish_sends_each_distinct_event_once(bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED, Topic.ORDERS_CLOSED)
    bus.publish([PLACED, CLOSED, PLACED, PLACED])
    assert received(subscription, 2) == [PLACED, CLOSED]
    assert subscription.wait(0.1) == ()
    subscription.close()


def test_events_of_one_publish_arrive_in_their_order(bus: EventBus) -> None:
    subscription = listen(bus, *Topic)
    topics = list(Topic)
    events = [Event(topics[number // 7 % len(topics)], f"{number:0150}") for number in range(PUBLISH_MAX)]
    bus.publish(events)
    assert received(subscription, PUBLISH_MAX) == events
    subscription.close()


def test_an_event_that_cannot_be_encoded_is_dropped_and_counted(bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    too_long, no_text = Event(Topic.ORDERS_PLACED, "k" * (KEY_CHARS_MAX + 1)), Event(Topic.ORDERS_PLACED, "\ud800")
    bus.publish([too_long, no_text, PLACED])
    assert received(subscription, 1) == [PLACED]
    assert bus.losses.by_reason() == {Loss.UNENCODABLE: 2}
    assert bus.dropped == 2
    subscription.close()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\x00 not ours", Loss.CORRUPT),
        (b'{"v":1,"topic":"orders.placed","key":7}', Loss.CORRUPT),
        (b'{"v":1,"topic":"orders.placed","key":"","node":"no node:"}', Loss.CORRUPT),
        (b'{"v":2,"topic":"orders.placed","key":""}', Loss.NEWER_VERSION),
        (b'{"v":1,"topic":"never.heard.of","key":""}', Loss.UNKNOWN_TOPIC),
        (b'{"v":1,"topic":"orders.placed","key":"","agent":"somebody-else"}', Loss.MISDIRECTED),
        (b"x" * (PAYLOAD_BYTES_MAX + 1), Loss.OVERSIZED),
        (b"x" * (FRAME_BYTES_MAX + 1), Loss.OVERSIZED),
    ],
)
def test_a_payload_that_is_refused_is_counted_under_its_reason(
    server: Server, bus: EventBus, payload: bytes, reason: Loss
) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    server.send(f"{NAMESPACE}.{Topic.ORDERS_PLACED}", payload)
    bus.publish([PLACED])
    assert received(subscription, 1) == [PLACED], "the listener lives on"
    assert bus.losses.by_reason() == {reason: 1}
    assert bus.dropped == 0, "it was published"
    subscription.close()


def test_what_any_of_its_listeners_refused_is_a_figure_of_the_bus(server: Server, bus: EventBus) -> None:
    registry = CollectorRegistry()
    registry.register(BusMetrics(bus.losses))

    def shown() -> float | None:
        return registry.get_sample_value("swarmex_bus_events_lost_total", {"reason": Loss.CORRUPT})

    assert shown() == 0
    for count, topic in enumerate((Topic.ORDERS_PLACED, Topic.ORDERS_CLOSED), start=1):
        subscription = listen(bus, topic)
        server.send(f"{NAMESPACE}.{topic}", b"\xff not ours")
        wait_until(subscription, lambda count=count: shown() == count)  # type: ignore[misc]  # bound now
        subscription.close()


def test_a_corrupt_event_takes_none_of_its_frame_with_it(server: Server, bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    good = b'{"v":1,"topic":"orders.placed","key":"fog/eu"}'
    server.send(f"{NAMESPACE}.{Topic.ORDERS_PLACED}", b"\n".join([good, good[:-2], good]))
    assert received(subscription, 2) == [PLACED, PLACED]
    assert bus.losses.by_reason() == {Loss.CORRUPT: 1}
    subscription.close()


def test_a_listener_without_topics_just_waits(bus: EventBus) -> None:
    subscription = bus.subscribe([])
    assert subscription.wait(0.1) == ()
    waiter = threading.Thread(target=subscription.wait, args=[FOREVER_S])
    waiter.start()
    waiter.join(0.3)
    assert waiter.is_alive()
    subscription.close()
    waiter.join(PATIENCE_S)
    assert not waiter.is_alive()


def test_closing_ends_a_wait_in_another_thread(bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    waiter = threading.Thread(target=subscription.wait, args=[FOREVER_S])
    waiter.start()
    subscription.close()
    waiter.join(PATIENCE_S)
    assert not waiter.is_alive()
    assert subscription.wait(FOREVER_S) == (), "and for good"
    assert not subscription.connected


def test_a_listener_and_a_publisher_outlive_a_restart_of_the_server(server: Server, bus: EventBus) -> None:
    subscription = listen(bus, Topic.ORDERS_PLACED)
    server.stop()
    assert subscription.wait(0.5) == (), "a wait ends although the server is away"
    bus.publish([PLACED, CLOSED])
    assert bus.losses.by_reason() == {Loss.UNREACHABLE: 2}
    server.start()
    deadline = time.monotonic() + PATIENCE_S
    heard: tuple[Event, ...] = ()
    while not heard and time.monotonic() < deadline:
        bus.publish([PLACED])
        heard = subscription.wait(OPEN_S / 4)
    assert heard[:1] == (PLACED,)
    subscription.close()
