"""The same request twice has one effect and one answer."""

from dataclasses import dataclass

from backend.domain.errors import Invalid

KEY_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key and the SHA-256 of what it sent with it."""

    key: str
    body_digest: bytes

    def __post_init__(self) -> None:
        if not (1 <= len(self.key) <= KEY_CHARS_MAX and self.key.isascii() and self.key.isprintable()):
            raise Invalid(
                "the idempotency key cannot be used",
                code="invalid_idempotency_key",
                field="Idempotency-Key",
                accepted=f"1 to {KEY_CHARS_MAX} printable ASCII characters",
            )
