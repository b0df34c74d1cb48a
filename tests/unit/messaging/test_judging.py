"""What is one of our messages, and what is wrong with the others."""

import hashlib
from typing import Any

import pytest

from backend.domain.dead_letters import EXCERPT_CHARS_MAX
from backend.messaging.judging import judge, unit_in
from tests.unit.messaging.messages import BAD, UNIT, message


def test_a_message_of_ours_names_its_unit() -> None:
    assert judge(message()) is None
    assert unit_in(message()) == UNIT


@pytest.mark.parametrize("what", BAD)
def test_anything_else_is_refused_for_its_reason(what: str) -> None:
    raw, reason = BAD[what]
    dead = judge(raw)
    assert dead is not None
    assert dead.reason is reason
    assert unit_in(raw) is None


def test_of_a_refused_message_size_digest_and_a_printable_beginning_are_kept() -> None:
    raw = b"\x00\x1b[31m" + b"\xff" + "ü".encode() + b"x" * 1_000
    dead = judge(raw)
    assert dead is not None
    assert (dead.size_bytes, dead.digest) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert dead.excerpt.isprintable()
    assert len(dead.excerpt) <= EXCERPT_CHARS_MAX


def test_a_header_that_we_do_not_know_is_let_through_if_it_is_plain() -> None:
    extras: dict[str, Any] = {"x-of-a-proxy": "1"}
    assert judge(message(headers=extras)) is None
