"""Names of channels: an event reaches those that it is for, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.events import Audience, Event, Topic
from backend.messaging.channels import CHANNELS_MAX, channel_of, channels_for

names = st.sampled_from(["a", "b", "kind", "node", "a.node", "node-b"])
maybe = st.one_of(st.just(""), names)
topics = st.sampled_from([Topic.ORDERS_PLACED, Topic.ORDERS_CLOSED])
to_groups = st.builds(Event, topics, kind=maybe, node=maybe)
to_one = st.builds(Event, topics, agent=maybe)
audiences = st.builds(Audience, kind=maybe, nodes=st.frozensets(names), agent=maybe)


@given(st.one_of(to_groups, to_one), st.frozensets(topics, min_size=1), audiences)
def test_a_channel_is_listened_to_by_exactly_those_its_events_are_for(
    event: Event, listened: frozenset[Topic], audience: Audience
) -> None:
    heard = event.topic in listened and audience.hears(event)
    assert (channel_of("swarm", event) in channels_for("swarm", list(listened), audience)) == heard


def test_what_is_for_everybody_has_the_channel_of_its_topic() -> None:
    assert channel_of("swarm", Event(Topic.ORDERS_PLACED, "fog/eu")) == "swarm.orders.placed"
    assert channels_for("swarm", [Topic.ORDERS_PLACED, Topic.ORDERS_PLACED], Audience()) == ["swarm.orders.placed"]


def test_an_addressee_is_named_in_the_channel() -> None:
    event = Event(Topic.UNITS_READY, kind="inference", node="n-1")
    assert channel_of("swarm", event) == "swarm.units.ready:kind=inference:node=n-1"
    assert channel_of("swarm", Event(Topic.UNITS_READY, agent="a-1")) == "swarm.units.ready:agent=a-1"


def test_a_subscription_to_too_many_channels_is_refused() -> None:
    nodes = frozenset(str(number) for number in range(CHANNELS_MAX))
    with pytest.raises(ValueError, match="at most"):
        channels_for("swarm", [Topic.UNITS_READY], Audience(nodes=nodes))
