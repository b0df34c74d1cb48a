"""Refusals: families with stable codes, and the data that each carries."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import (
    ChecksumMismatch,
    Conflict,
    Forbidden,
    HoldExceeded,
    HoldResolved,
    InsufficientFunds,
    Invalid,
    InvalidTensor,
    NotFound,
    SwarmexError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    unknown_choice,
)

ID = UUID(int=5)


@pytest.mark.parametrize(
    ("error", "family", "code"),
    [
        (SwarmexError("m"), SwarmexError, "internal_error"),
        (Invalid("m"), Invalid, "invalid"),
        (TooLarge("m"), Invalid, "too_large"),
        (InvalidTensor("m"), Invalid, "invalid_tensor"),
        (Unauthenticated("m"), Unauthenticated, "unauthenticated"),
        (Forbidden("m"), Forbidden, "forbidden"),
        (NotFound("order", ID), NotFound, "unknown_order"),
        (NotFound("ledger account", ID), NotFound, "unknown_ledger_account"),
        (Conflict("m"), Conflict, "conflict"),
        (Unavailable("m"), Unavailable, "unavailable"),
        (InsufficientFunds(ID, 3, 2), InsufficientFunds, "insufficient_funds"),
        (HoldExceeded(ID, 3, 2), Conflict, "hold_exceeded"),
        (HoldResolved(ID, "posted"), Conflict, "hold_resolved"),
        (ChecksumMismatch("a", "b"), ChecksumMismatch, "checksum_mismatch"),
    ],
    ids=lambda value: value.code if isinstance(value, SwarmexError) else None,
)
def test_every_error_is_of_its_family_with_a_stable_code_and_a_message(
    error: SwarmexError, family: type[SwarmexError], code: str
) -> None:
    assert isinstance(error, family)
    assert error.code == code
    assert error.message == str(error)
    assert error.message


@pytest.mark.parametrize("family", [Invalid, TooLarge, InvalidTensor, Conflict, Unavailable])
def test_a_code_of_its_own_belongs_to_one_error_and_not_to_its_family(family: type[Invalid]) -> None:
    usual = family("m").code
    error = family("m", code="special", field="f", accepted="a")
    assert (error.code, error.field, error.accepted) == ("special", "f", "a")
    assert family("m").code == family.code == usual


@pytest.mark.parametrize("family", [SwarmexError, Unauthenticated, Forbidden])
def test_the_field_and_what_would_pass_are_told_where_there_is_such_a_thing(family: type[SwarmexError]) -> None:
    error = family("m", field="f", accepted="a")
    assert (error.field, error.accepted) == ("f", "a")
    assert (family("m").field, family("m").accepted) == (None, None)


def test_errors_keep_the_figures_that_they_are_about() -> None:
    poor = InsufficientFunds(ID, 3, 2)
    assert (poor.account, poor.asked_nano, poor.available_nano, poor.field) == (ID, 3, 2, "max_budget")
    exceeded = HoldExceeded(ID, 3, 2)
    assert (exceeded.hold_id, exceeded.asked_nano, exceeded.left_nano) == (ID, 3, 2)
    resolved = HoldResolved(ID, "posted")
    assert (resolved.hold_id, resolved.state) == (ID, "posted")
    changed = ChecksumMismatch("a", "b")
    assert (changed.expected, changed.found, changed.field, changed.accepted) == ("a", "b", "checksum", "a")


def test_a_thing_that_is_not_found_may_be_named_by_a_field_with_what_would_be() -> None:
    error = NotFound("model", "digits", field="model", accepted="doubling")
    assert (error.message, error.field, error.accepted) == ("no model digits", "model", "doubling")


@given(st.text(max_size=200), st.sampled_from([["a", "b"], ["c"]]))
def test_an_unknown_word_is_shown_shortened_with_the_known_ones(word: str, choices: list[str]) -> None:
    error = unknown_choice("tier", word, choices)
    assert (error.code, error.field, error.accepted) == ("invalid_tier", "tier", ", ".join(choices))
    assert len(error.message) <= len("tier  is not known") + 60
    assert len(repr(word)) > 60 or repr(word) in error.message
    assert repr(word)[:20] in error.message
    assert unknown_choice("tier", word, choices, code="no_tier").code == "no_tier"


# By name: a test runner could not write them out.
ENDLESS: list[object] = []
for _ in range(10_000):
    ENDLESS = [ENDLESS]
UNSHOWABLE = {"deep": ENDLESS, "huge": 10**5_000, "long": "x" * 10**6, "wide": [1] * 10**6, "inside": {"a": 10**5_000}}


@pytest.mark.parametrize("name", UNSHOWABLE)
def test_what_cannot_be_written_out_is_still_refused_as_unknown_in_few_words(name: str) -> None:
    assert len(unknown_choice("tier", UNSHOWABLE[name], ["a"]).message) <= 100
