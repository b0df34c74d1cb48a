"""References of payments."""

import pytest

from backend.domain.references import REFERENCE_CHARS_MAX, check_reference
from tests.unit.domain.refusals import refusal


@pytest.mark.parametrize("reference", ["1", "SEPA-2026-10-17-0042", "é" * REFERENCE_CHARS_MAX])
def test_what_can_be_printed_and_found_again_is_a_reference(reference: str) -> None:
    check_reference(reference)


@pytest.mark.parametrize("reference", ["", "a\nb", "x" * (REFERENCE_CHARS_MAX + 1)])
def test_what_cannot_is_none(reference: str) -> None:
    assert refusal(lambda: check_reference(reference)).code == "invalid_reference"
