"""What a check of the doctor's says."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended; only `wrong` fails the whole examination."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    what: str
    verdict: Verdict
    found: str
    do: str | None = None
