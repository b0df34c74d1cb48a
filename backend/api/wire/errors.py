"""The body of every refusal, for the schema."""

from pydantic import Field

from backend.api.wire.base import Answer


class Problem(Answer):
    """What was wrong, where, and what would be accepted."""

    code: str = Field(examples=["invalid_amount"], description="Stable; programs decide by it.")
    message: str
    field: str | None = Field(examples=["max_budget"])
    accepted: str | None = Field(examples=["a decimal string of credits with at most 9 decimals"])


class ErrorBody(Answer):
    """The envelope."""

    error: Problem
