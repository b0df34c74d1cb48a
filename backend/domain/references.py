"""References: what a payment is called outside, so that it is booked once however often it is told."""

from backend.domain.errors import Invalid

REFERENCE_CHARS_MAX = 128


def check_reference(reference: str) -> None:
    """Raise Invalid(`invalid_reference`) for what nobody could find again."""
    if not (1 <= len(reference) <= REFERENCE_CHARS_MAX and reference.isprintable()):
        raise Invalid(
            "the reference cannot be used",
            code="invalid_reference",
            field="reference",
            accepted=f"1 to {REFERENCE_CHARS_MAX} printable characters",
        )
