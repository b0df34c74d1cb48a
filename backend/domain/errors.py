"""Everything that can be refused: one root error, families that the API maps to a status, and facts with their data.

`code` is stable and part of the public interface; `field` names the input at fault, `accepted` what would pass.
"""

import reprlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

SHOWN_CHARS_MAX = 60

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxstring, _short.maxother = 2, 6, 3, 60, 60


class SwarmexError(Exception):
    """Root of all errors that Swarmex raises on purpose."""

    code = "internal_error"

    def __init__(
        self, message: str, *, code: str | None = None, field: str | None = None, accepted: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.message = message
        self.field = field
        self.accepted = accepted


class Invalid(SwarmexError):
    """The input can never be right as it stands."""

    code = "invalid"


class TooLarge(Invalid):
    """A payload above a named limit."""

    code = "too_large"


class Unauthenticated(SwarmexError):
    """No key, or one that opens nothing."""

    code = "unauthenticated"


class Forbidden(SwarmexError):
    """A known caller who may not do this."""

    code = "forbidden"


class NotFound(SwarmexError):
    """The thing does not exist, or is not the caller's to see; the field is named like it, unless given."""

    code = "not_found"

    def __init__(self, what: str, name: object, *, field: str | None = None, accepted: str | None = None) -> None:
        noun = what.replace(" ", "_")
        super().__init__(f"no {what} {name}", code=f"unknown_{noun}", field=field or noun, accepted=accepted)


class Conflict(SwarmexError):
    """The request contradicts what is already recorded."""

    code = "conflict"


class Unavailable(SwarmexError):
    """Right request, wrong moment: the caller may try again."""

    code = "unavailable"


class InsufficientFunds(SwarmexError):
    """A wallet has less available than a posting or a hold asks for."""

    code = "insufficient_funds"

    def __init__(self, account: UUID, asked_nano: int, available_nano: int) -> None:
        super().__init__(
            f"{_credits(asked_nano)} credits asked, {_credits(available_nano)} available",
            field="max_budget",
            accepted=f"at most {_credits(available_nano)} credits, or a deposit first",
        )
        self.account = account
        self.asked_nano = asked_nano
        self.available_nano = available_nano


class BudgetExceeded(SwarmexError):
    """A hard budget has less left than a hold asks for."""

    code = "budget_exceeded"

    def __init__(self, budget: UUID, period: str, asked_nano: int, left_nano: int, until: datetime | None) -> None:
        fresh = f", or more from {until.isoformat()} on" if until else ""
        super().__init__(
            f"the budget per {period} has {_credits(left_nano)} credits left, {_credits(asked_nano)} asked",
            field="max_budget",
            accepted=f"at most {_credits(left_nano)} credits{fresh}",
        )
        self.budget = budget
        self.asked_nano = asked_nano
        self.left_nano = left_nano


class HoldExceeded(Conflict):
    """A capture above what its hold has left."""

    def __init__(self, hold_id: UUID, asked_nano: int, left_nano: int) -> None:
        super().__init__(f"hold {hold_id} has {left_nano} nano-credits left, {asked_nano} asked", code="hold_exceeded")
        self.hold_id = hold_id
        self.asked_nano = asked_nano
        self.left_nano = left_nano


class HoldResolved(Conflict):
    """A hold resolves once; this one has."""

    def __init__(self, hold_id: UUID, state: str) -> None:
        super().__init__(f"hold {hold_id} is {state} already", code="hold_resolved")
        self.hold_id = hold_id
        self.state = state


class ChecksumMismatch(SwarmexError):
    """A model file that is not the one that was registered."""

    code = "checksum_mismatch"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"sha256 {found} found, {expected} registered", field="checksum", accepted=expected)
        self.expected = expected
        self.found = found


class InvalidTensor(Invalid):
    """An inference input that does not fit the model's signature."""

    code = "invalid_tensor"


def _credits(nano: int) -> str:
    return f"{Decimal(nano).scaleb(-9):.9f}"


def shown(value: object) -> str:
    """An input as an error may repeat it: short, whatever it is."""
    try:
        return _short.repr(value)[:SHOWN_CHARS_MAX]
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a huge number"


def unknown_choice(field: str, value: object, choices: Sequence[str], code: str | None = None) -> Invalid:
    """The error for a word outside its list."""
    return Invalid(
        f"{field} {shown(value)} is not known",
        code=code or f"invalid_{field}",
        field=field,
        accepted=", ".join(choices),
    )
