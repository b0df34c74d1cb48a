"""Whom an event is for: the server hands it to nobody else."""

import pytest

from backend.domain.events import EVERYBODY, Audience, Event, Topic
from backend.messaging.channels import channel_of
from backend.messaging.ports import EventBus
from tests.integration.messaging.conftest import NAMESPACE
from tests.integration.messaging.listening import listen, received
from tests.integration.messaging.servers import Server

READY = Topic.UNITS_READY
LISTENERS = {
    "anybody": EVERYBODY,
    "pricing": Audience(kind="pricing", agent="p"),
    "node 1": Audience(kind="inference", nodes=frozenset({"node-1"}), agent="i1"),
    "pool of 2 and 3": Audience(kind="inference", nodes=frozenset({"node-2", "node-3"}), agent="i23"),
}
LAST = Event(READY, "last")


@pytest.mark.parametrize(
    ("event", "for_whom"),
    [
        (Event(READY, "broadcast"), set(LISTENERS)),
        (Event(READY, kind="inference"), {"node 1", "pool of 2 and 3"}),
        (Event(READY, kind="pricing"), {"pricing"}),
        (Event(READY, node="node-1"), {"node 1"}),
        (Event(READY, node="node-3"), {"pool of 2 and 3"}),
        (Event(READY, kind="inference", node="node-2"), {"pool of 2 and 3"}),
        (Event(READY, kind="pricing", node="node-2"), set()),
        (Event(READY, agent="p"), {"pricing"}),
        (Event(READY, agent="i23"), {"pool of 2 and 3"}),
        (Event(READY, agent="nobody"), set()),
    ],
)
def test_only_those_it_is_for_hear_an_event(server: Server, bus: EventBus, event: Event, for_whom: set[str]) -> None:
    subscriptions = {name: listen(bus, READY, audience=audience) for name, audience in LISTENERS.items()}
    bus.publish([event, LAST])
    heard = {name: received(subscription, 1 + (name in for_whom)) for name, subscription in subscriptions.items()}
    assert heard == {name: [event, LAST] if name in for_whom else [LAST] for name in LISTENERS}
    assert bus.losses.by_reason() == {}, "none came in vain"
    assert server.send(channel_of(NAMESPACE, event), b"") == len(for_whom), "the server woke nobody else"
    for subscription in subscriptions.values():
        subscription.close()


def test_a_direct_event_of_a_topic_that_is_not_listened_to_is_not_delivered(bus: EventBus) -> None:
    subscription = listen(bus, READY, audience=LISTENERS["pricing"])
    bus.publish([Event(Topic.KEYS_CHANGED, agent="p"), LAST])
    assert received(subscription, 1) == [LAST]
    subscription.close()


def test_an_agent_of_hundreds_of_nodes_hears_each_of_them(bus: EventBus) -> None:
    nodes = [f"node-{number}" for number in range(500)]
    subscription = listen(bus, READY, audience=Audience("inference", frozenset(nodes)))
    bus.publish([Event(READY, node=node) for node in nodes])
    assert [event.node for event in received(subscription, len(nodes))] == nodes
    subscription.close()
