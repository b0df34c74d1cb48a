"""Keys under which the same request has one effect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.idempotency import KEY_CHARS_MAX, Idempotency
from tests.unit.domain.refusals import refusal

DIGEST = b"\x00" * 32


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=KEY_CHARS_MAX))
def test_any_printable_ascii_text_can_be_a_key(key: str) -> None:
    assert Idempotency(key, DIGEST).key == key


def test_a_key_may_be_as_long_as_the_limit() -> None:
    longest = "x" * KEY_CHARS_MAX
    assert Idempotency(longest, DIGEST).key == longest


@pytest.mark.parametrize("key", ["", "x" * (KEY_CHARS_MAX + 1), "a\n", "\t", "a\x00b", "a\x7f", "é", "٣"])
def test_any_other_key_is_refused_by_the_name_of_its_header(key: str) -> None:
    error = refusal(lambda: Idempotency(key, DIGEST))
    assert isinstance(error, Invalid)
    assert (error.code, error.field) == ("invalid_idempotency_key", "Idempotency-Key")
    assert error.accepted == "1 to 128 printable ASCII characters"
