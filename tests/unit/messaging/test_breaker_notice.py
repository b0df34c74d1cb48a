"""What processes tell each other of breakers survives the way there, and nothing else is believed."""

import pytest

from backend.messaging.breaker_notice import (
    BYTES_MAX,
    KEPT_S,
    NAME_CHARS_MAX,
    Notice,
    UnreadableNotice,
    decode,
    decode_kept,
    encode,
    encode_kept,
)

NOTICE = Notice("node:10.0.0.7:9000", "open", 4.5, "host:1:ab", 7)
NOW_MS = 1_800_000_000_000


def test_a_notice_survives_the_way() -> None:
    assert decode(encode(NOTICE)) == NOTICE


def test_what_is_kept_counts_down_by_the_servers_clock() -> None:
    kept = encode_kept(NOTICE, NOW_MS)
    posted = decode_kept(b"node:a", kept, NOW_MS + 1_500)
    assert (posted.name, posted.state, posted.retry_s, posted.stale) == ("node:a", "open", 3.0, False)
    assert posted.changed_at.timestamp() == NOW_MS / 1_000
    late = decode_kept(b"node:a", kept, NOW_MS + 4_500 + int(KEPT_S * 1_000) + 1)
    assert (late.retry_s, late.stale) == (0.0, True)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        encode(Notice("", "open", 1.0, "o", 1)),
        encode(Notice("n" * (NAME_CHARS_MAX + 1), "open", 1.0, "o", 1)),
        encode(Notice("n", "ajar", 1.0, "o", 1)),
        encode(Notice("n", "open", -1.0, "o", 1)),
        encode(Notice("n", "open", 1e9, "o", 1)),
        encode(Notice("n", "open", float("nan"), "o", 1)),
        encode(Notice("n", "open", 1.0, "o" * BYTES_MAX, 1)),
        b'{"name":"n","state":"open","retry_s":"1","origin":"o","serial":1}',
    ],
)
def test_foreign_notices_are_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableNotice):
        decode(payload)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        (b"n", b"{}"),
        (b"n", b'{"state":"ajar","retry_ms":1,"changed_ms":1,"origin":"o"}'),
        (b"n", b'{"state":"open","retry_ms":1,"changed_ms":99999999999999999,"origin":"o"}'),
        (b"n", b'{"state":"open","retry_ms":0.5,"changed_ms":1,"origin":"o"}'),
        (b"", encode_kept(NOTICE, NOW_MS)),
    ],
)
def test_foreign_entries_are_refused(name: bytes, payload: bytes) -> None:
    with pytest.raises(UnreadableNotice):
        decode_kept(name, payload, NOW_MS)
