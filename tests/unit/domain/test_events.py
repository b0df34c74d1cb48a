"""Whom events are for."""

from collections.abc import Callable

import pytest

from backend.domain.events import EVERYBODY, Audience, Event, Topic

READY = Topic.UNITS_READY
AGENT = Audience(kind="inference", nodes=frozenset({"node-1", "node-2"}), agent="a-1")


@pytest.mark.parametrize(
    ("event", "heard"),
    [
        (Event(READY), True),
        (Event(READY, "key"), True),
        (Event(READY, kind="inference"), True),
        (Event(READY, kind="pricing"), False),
        (Event(READY, node="node-2"), True),
        (Event(READY, node="node-3"), False),
        (Event(READY, kind="inference", node="node-1"), True),
        (Event(READY, kind="pricing", node="node-1"), False),
        (Event(READY, kind="inference", node="node-3"), False),
        (Event(READY, agent="a-1"), True),
        (Event(READY, agent="a-2"), False),
    ],
)
def test_an_agent_hears_what_is_for_all_for_its_kind_for_its_nodes_or_for_itself(event: Event, heard: bool) -> None:
    assert AGENT.hears(event) is heard


def test_who_says_nothing_of_himself_hears_what_is_for_all_only() -> None:
    assert EVERYBODY.hears(Event(READY))
    assert not EVERYBODY.hears(Event(READY, kind="inference"))
    assert not EVERYBODY.hears(Event(READY, node="node-1"))
    assert not EVERYBODY.hears(Event(READY, agent="a-1"))


@pytest.mark.parametrize("address", [{"kind": "pricing"}, {"node": "node-1"}])
def test_an_event_for_one_agent_names_no_kind_and_no_node(address: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="one agent"):
        Event(READY, agent="a-1", **address)


@pytest.mark.parametrize("name", ["a:b", "a b", ".", "ä", "a\n", "x" * 65])
def test_a_name_that_could_pass_for_another_cannot_be_addressed(name: str) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: Event(READY, kind=name),
        lambda: Event(READY, node=name),
        lambda: Event(READY, agent=name),
        lambda: Audience(kind=name),
        lambda: Audience(nodes=frozenset({"node-1", name})),
        lambda: Audience(agent=name),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="cannot be addressed"):
            attempt()
