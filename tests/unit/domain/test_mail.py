"""The messages of mailboxes: whole after the journey, or refused with the field that is wrong."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid, TooLarge
from backend.domain.mail import (
    HEAD_BYTES_MAX,
    LETTERS_MAX,
    PATH_CHARS_MAX,
    MailedAnswer,
    MailedRequest,
    pack_answers,
    pack_requests,
    unpack_answers,
    unpack_requests,
)
from backend.domain.tiers import TierName

ID = "0123456789abcdef" * 2
REQUEST = MailedRequest(ID, "/v2/models/m/versions/1/infer", None, 5_000, b"{}")
ANSWER = MailedAnswer(ID, 200, None, None, b"{}")


def message(head: object, bodies: bytes = b"") -> bytes:
    told = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(told).to_bytes(4, "big") + told + bodies


@given(st.lists(st.binary(max_size=50), max_size=LETTERS_MAX))
def test_requests_and_answers_arrive_as_they_were_sent(bodies: list[bytes]) -> None:
    requests = [
        replace(
            REQUEST,
            body=body,
            header_length=len(body) // 2 or None,
            traceparent="00-x" if body else None,
            tier=list(TierName)[len(body) % 4],
        )
        for body in bodies
    ]
    assert unpack_requests(pack_requests(requests)) == requests
    answers = [replace(ANSWER, body=body, header_length=len(body), busy_us=len(body)) for body in bodies]
    assert unpack_answers(pack_answers(answers)) == answers


def test_a_request_of_a_coordinator_that_names_no_tier_is_of_the_default() -> None:
    head = {"id": ID, "path": "/v2/models/m", "left_ms": 1, "size": 0}
    [read] = unpack_requests(message([head]))
    assert read.tier is TierName.MEDIUM


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_and_nothing_else_happens(content: bytes) -> None:
    for unpack in (unpack_requests, unpack_answers):
        with suppress(Invalid):
            assert unpack(content) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "short"),
        ("id", None),
        ("id", "é" * 32),
        ("id", "../" + "x" * 29),
        ("path", "/api/v1/accounts"),
        ("path", 7),
        ("path", "/v2/models/" + "x" * PATH_CHARS_MAX),
        ("path", "/v2/models/é"),
        ("left_ms", -1),
        ("left_ms", True),
        ("left_ms", 0.5),
        ("left_ms", None),
        ("header_length", 3),
        ("size", 3),
        ("size", -1),
        ("size", 1),
        ("traceparent", 5),
        ("traceparent", "é"),
    ],
)
def test_a_request_with_a_wrong_field_is_refused_by_its_name(field: str, value: object) -> None:
    head = {"id": ID, "path": REQUEST.path, "header_length": None, "left_ms": 5, "traceparent": None, "size": 2}
    with pytest.raises(Invalid) as refused:
        unpack_requests(message([head | {field: value}], b"{}"))
    assert (refused.value.code, refused.value.field) == ("corrupt_message", field)


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", 199), ("status", 600), ("status", "200"), ("busy_us", -1), ("busy_us", 2**63), ("header_length", -1)],
)
def test_an_answer_with_a_wrong_field_is_refused_by_its_name(field: str, value: object) -> None:
    head = {"id": ID, "status": 200, "header_length": None, "busy_us": None, "size": 2}
    with pytest.raises(Invalid) as refused:
        unpack_answers(message([head | {field: value}], b"{}"))
    assert (refused.value.code, refused.value.field) == ("corrupt_message", field)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0", message(b"{}"), message(b"nothing"), message([[]]), b"\0\0\0\2[]x"]
)
def test_a_message_without_a_right_head_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        unpack_answers(content)


def test_more_letters_or_a_larger_head_than_is_agreed_are_too_large() -> None:
    with pytest.raises(TooLarge):
        unpack_answers(pack_answers([ANSWER] * (LETTERS_MAX + 1)))
    with pytest.raises(TooLarge):
        unpack_answers(message([{"x": "x" * HEAD_BYTES_MAX}]))
