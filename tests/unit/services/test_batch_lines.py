"""Lines of a batch: split from pieces of a file, checked alone, and cut into what one order carries."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.batches import ENDPOINT
from backend.domain.errors import Invalid, InvalidTensor, NotFound, SwarmexError, TooLarge
from backend.domain.orders import ITEMS_PER_ORDER_MAX
from backend.services import batch_lines
from backend.services.batch_lines import (
    CHUNK_BYTES_MAX,
    ERRORS_MAX,
    MODELS_PER_BATCH_MAX,
    Cutter,
    Target,
    check_endpoint,
    line_error,
    parse_line,
    split_lines,
)

URL = "/v2/models/digits/infer"


def said(**changes: object) -> bytes:
    whole = {"custom_id": "a", "method": "POST", "url": URL, "body": {"inputs": []}} | changes
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@given(st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"")), max_size=20), st.integers(1, 40))
def test_lines_are_the_same_however_the_file_comes(rows: list[bytes], size: int) -> None:
    content = b"\n".join(rows)
    found = list(split_lines(pieces(content, size), line_bytes_max=8))
    kept = content.split(b"\n") if not content.endswith(b"\n") else content.split(b"\n")[:-1]
    expected = kept if content else []
    assert [row for _, row in found] == [None if len(row) > 8 else row for row in expected]
    for offset, row in found:
        if row is not None:
            assert content[offset : offset + len(row)] == row


def test_a_line_is_a_request_to_a_model() -> None:
    line = parse_line(said(), ENDPOINT)
    assert (line.custom_id, line.target, line.body) == ("a", Target("digits", None), {"inputs": []})
    versioned = "/v2/models/digits/versions/3/infer"
    assert parse_line(said(url=versioned), versioned).target == Target("digits", 3)


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (b"{", "invalid_json", None),
        (b"[1]", "invalid_json", None),
        (said(custom_id=None), "invalid_custom_id", "custom_id"),
        (said(custom_id=7), "invalid_custom_id", "custom_id"),
        (said(custom_id="x" * 257), "invalid_custom_id", "custom_id"),
        (said(custom_id="\x00"), "invalid_custom_id", "custom_id"),
        (said(method="GET"), "invalid_method", "method"),
        (said(url=None), "invalid_url", "url"),
        (said(url="/v2/models/digits"), "invalid_url", "url"),
        (said(url="/v2/models/a b/infer"), "invalid_url", "url"),
        (said(url="/v2/models/digits/versions/0/infer"), "invalid_url", "url"),
        (said(body=[1]), "invalid_body", "body"),
        (said(body={"inputs": ["x" * (1 << 20)]}), "too_large", "body"),
    ],
)
def test_any_other_line_is_refused_with_its_field(raw: bytes, code: str, field: str | None) -> None:
    with pytest.raises(SwarmexError) as refused:
        parse_line(raw, ENDPOINT)
    assert (refused.value.code, refused.value.field) == (code, field)


def test_where_the_batch_names_one_route_every_line_asks_it() -> None:
    assert parse_line(said(), URL).target.model == "digits"
    with pytest.raises(Invalid, match="cannot be asked"):
        parse_line(said(url="/v2/models/other/infer"), URL)


def test_batches_are_offered_for_models() -> None:
    for endpoint in (ENDPOINT, URL, "/v2/models/digits/versions/2/infer"):
        check_endpoint(endpoint)
    for endpoint in ("/v1/chat/completions", "/v2/models/", ""):
        with pytest.raises(Invalid):
            check_endpoint(endpoint)


def test_chunks_hold_one_models_lines_and_no_more_than_an_order_carries() -> None:
    cutter = Cutter()
    for number in range(1, 2 * ITEMS_PER_ORDER_MAX + 3):
        assert cutter.count(number)
        cutter.take(number, number * 10, 9, f"r-{number}", 1, "ab"[number % 2], 1)
    assert [(chunk.model, len(chunk.lines)) for chunk in cutter.chunks] == [
        ("b", ITEMS_PER_ORDER_MAX),
        ("a", ITEMS_PER_ORDER_MAX),
        ("b", 1),
        ("a", 1),
    ]
    first = cutter.chunks[0]
    assert (first.from_byte, first.lines[0], first.to_byte) == (
        10,
        (1, "r-1", 1),
        (2 * ITEMS_PER_ORDER_MAX - 1) * 10 + 9,
    )


def test_chunks_are_bounded_in_bytes() -> None:
    cutter = Cutter()
    for number in range(3):
        cutter.take(number, number, CHUNK_BYTES_MAX // 2, str(number), 1, "a", 1)
    assert [len(chunk.lines) for chunk in cutter.chunks] == [2, 1]


def test_a_name_is_used_once_and_models_are_so_many() -> None:
    cutter = Cutter()
    cutter.name("a")
    with pytest.raises(Invalid, match="used by an earlier line"):
        cutter.name("a")
    for number in range(MODELS_PER_BATCH_MAX):
        cutter.take(number, 0, 1, str(number), 1, f"m{number}", 1)
    with pytest.raises(TooLarge, match="one model too many"):
        cutter.take(99, 0, 1, "99", 1, "another", 1)


def test_a_file_with_too_many_requests_or_errors_or_with_none_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lines, "BATCH_REQUESTS_MAX", 1)
    cutter = Cutter()
    assert [(cutter.count(number), cutter.full) for number in (1, 2)] == [(True, False), (False, True)]
    assert cutter.errors[0].code == "too_many_requests"
    wrong = Cutter()
    for number in range(ERRORS_MAX + 5):
        wrong.fail(number, Invalid("no", code="no"))
    assert wrong.full
    assert len(wrong.errors) == ERRORS_MAX
    empty = Cutter()
    empty.end()
    assert [(error.line, error.code) for error in empty.errors] == [(None, "empty_file")]


def test_errors_tell_the_line_the_field_and_what_would_be_accepted() -> None:
    told = line_error(3, InvalidTensor("does not fit", field="inputs[0].shape", accepted="[any, 2]"))
    assert told.document() == {
        "line": 3,
        "code": "invalid_tensor",
        "message": "does not fit (accepted: [any, 2])",
        "param": "body.inputs[0].shape",
    }
    assert line_error(3, NotFound("model", "nobody")).param == "model"
