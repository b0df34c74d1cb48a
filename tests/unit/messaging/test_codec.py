"""Events on the wire."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.events import Event, Topic
from backend.messaging.codec import (
    FRAME_BYTES_MAX,
    KEY_CHARS_MAX,
    PAYLOAD_BYTES_MAX,
    UndecodableEvent,
    decode,
    encode,
    pack,
    unpack,
)
from backend.messaging.losses import Loss

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=KEY_CHARS_MAX)
names = st.sampled_from(["", "inference", "node-1"])


@given(
    st.one_of(
        st.builds(Event, st.sampled_from(Topic), keys, kind=names, node=names),
        st.builds(Event, st.sampled_from(Topic), keys, agent=names),
    )
)
def test_every_event_survives_the_wire_on_one_line_or_is_refused_before_it(event: Event) -> None:
    try:
        payload = encode(event)
    except ValueError as error:
        assert "bytes" in str(error)  # noqa: PT017  # which keys escape to too many bytes is the codec's business
        return
    assert b"\n" not in payload
    assert decode(payload) == event


def test_a_payload_is_plain_json_with_a_version() -> None:
    payload = encode(Event(Topic.ORDERS_PLACED, "fog/eu"))
    assert orjson.loads(payload) == {"v": 1, "topic": "orders.placed", "key": "fog/eu"}


def test_an_addressee_is_in_the_payload() -> None:
    payload = encode(Event(Topic.ORDERS_PLACED, "k", node="node-1"))
    assert orjson.loads(payload) == {"v": 1, "topic": "orders.placed", "key": "k", "node": "node-1"}


def test_fields_that_a_later_sender_adds_are_ignored() -> None:
    payload = orjson.dumps({"v": 1, "topic": "orders.placed", "key": "k", "node": "n", "weather": {"rain": True}})
    assert decode(payload) == Event(Topic.ORDERS_PLACED, "k", node="n")


def test_a_key_above_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="201 characters"):
        encode(Event(Topic.ORDERS_PLACED, "k" * (KEY_CHARS_MAX + 1)))


def test_a_key_that_is_too_large_once_escaped_is_refused() -> None:
    with pytest.raises(ValueError, match="1240 bytes"):
        encode(Event(Topic.ORDERS_PLACED, "\x01" * KEY_CHARS_MAX))


def test_a_key_that_is_not_text_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        encode(Event(Topic.ORDERS_PLACED, "\ud800"))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Loss.CORRUPT),
        (b"not json", Loss.CORRUPT),
        (b"[]", Loss.CORRUPT),
        (b"null", Loss.CORRUPT),
        (b'{"topic": "orders.placed", "key": ""}', Loss.CORRUPT),
        (b'{"v": 1, "topic": "orders.placed"}', Loss.CORRUPT),
        (b'{"v": 1, "topic": "orders.placed", "key": 7}', Loss.CORRUPT),
        (b'{"v": 1, "topic": ["orders.placed"], "key": ""}', Loss.CORRUPT),
        (b'{"v": 1, "topic": "orders.placed", "key": "", "kind": 7}', Loss.CORRUPT),
        (b'{"v": 1, "topic": "orders.placed", "key": "", "kind": "a b"}', Loss.CORRUPT),
        (b'{"v": 1, "topic": "orders.placed", "key": "", "kind": "a", "agent": "b"}', Loss.CORRUPT),
        (b'{"v": 0, "topic": "orders.placed", "key": ""}', Loss.CORRUPT),
        (b'{"v": "1", "topic": "orders.placed", "key": ""}', Loss.CORRUPT),
        (b'{"v": 2, "topic": "orders.placed", "key": ""}', Loss.NEWER_VERSION),
        (b'{"v": 2}', Loss.NEWER_VERSION),
        (b'{"v": 1, "topic": "never.heard.of", "key": ""}', Loss.UNKNOWN_TOPIC),
        (b'{"v": 1, "topic": "orders.placed", "key": "' + b"k" * PAYLOAD_BYTES_MAX + b'"}', Loss.OVERSIZED),
    ],
)
def test_what_is_not_an_event_is_refused_with_its_reason(payload: bytes, reason: Loss) -> None:
    with pytest.raises(UndecodableEvent) as refused:
        decode(payload)
    assert refused.value.reason == reason


lines = st.tuples(st.sampled_from(["a", "b"]), st.binary(min_size=1, max_size=300).map(lambda b: b.replace(b"\n", b"")))


@given(st.lists(lines, max_size=200))
def test_frames_keep_every_payload_its_channel_and_its_place(pairs: list[tuple[str, bytes]]) -> None:
    frames = pack(pairs)
    assert [(channel, payload) for channel, frame in frames for payload in unpack(frame)] == pairs
    assert all(len(frame) <= FRAME_BYTES_MAX for _, frame in frames)


def test_events_that_follow_each_other_in_a_channel_share_a_frame() -> None:
    assert pack([("a", b"1"), ("a", b"2"), ("b", b"3"), ("a", b"4")]) == [("a", b"1\n2"), ("b", b"3"), ("a", b"4")]


def test_a_frame_larger_than_any_of_ours_is_refused() -> None:
    with pytest.raises(UndecodableEvent) as refused:
        unpack(b"x" * (FRAME_BYTES_MAX + 1))
    assert refused.value.reason == Loss.OVERSIZED
