"""Events on the wire."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.events import Event, Topic
from backend.messaging.codec import (
    KEY_CHARS_MAX,
    PAYLOAD_BYTES_MAX,
    UndecodableEvent,
    decode,
    encode,
)


@given(st.sampled_from(Topic), st.text(st.characters(exclude_categories=["Cs"]), max_size=KEY_CHARS_MAX))
def test_every_event_survives_the_wire(topic: Topic, key: str) -> None:
    payload = encode(Event(topic, key))
    if len(payload) <= PAYLOAD_BYTES_MAX:
        assert decode(payload) == Event(topic, key)


def test_a_payload_is_plain_json_with_a_version() -> None:
    payload = encode(Event(Topic.ORDERS_PLACED, "fog/eu"))
    assert orjson.loads(payload) == {"v": 1, "topic": "orders.placed", "key": "fog/eu"}


def test_fields_of_a_later_version_are_ignored() -> None:
    payload = orjson.dumps({"v": 2, "topic": "orders.placed", "key": "k", "node": "n"})
    assert decode(payload) == Event(Topic.ORDERS_PLACED, "k")


def test_a_key_above_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="201 characters"):
        encode(Event(Topic.ORDERS_PLACED, "k" * (KEY_CHARS_MAX + 1)))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'{"topic": "orders.placed"}',
        b'{"topic": "never.heard.of", "key": ""}',
        b'{"topic": "orders.placed", "key": 7}',
        b'{"topic": ["orders.placed"], "key": ""}',
        b'{"v": 1, "topic": "orders.placed", "key": "' + b"k" * PAYLOAD_BYTES_MAX + b'"}',
    ],
)
def test_what_is_not_an_event_is_refused(payload: bytes) -> None:
    with pytest.raises(UndecodableEvent):
        decode(payload)
