"""Dead letters: items that ran out of attempts and messages that nobody can read, kept until somebody decides."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.errors import Conflict
from backend.domain.ids import DeadLetterId, ItemId, OrderId, UnitId

LETTERS_KEPT = timedelta(days=30)
EXCERPT_CHARS_MAX = 200
MESSAGES_MAX = 1_000  # undecided ones per queue; more are counted in metrics and logs only


class LetterKind(StrEnum):
    """What died."""

    ITEM = "item"
    MESSAGE = "message"


class DeathReason(StrEnum):
    """Why; the first two are of items."""

    FAILED = "failed"
    LAPSED = "lapsed"
    OVERSIZED = "oversized"
    CORRUPT = "corrupt"
    CONTENT_TYPE = "content_type"
    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_VERSION = "unknown_version"
    UNKNOWN_UNIT = "unknown_unit"


class Resolution(StrEnum):
    """A letter is resolved once."""

    RETRIED = "retried"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that was refused: the whole of it as size and SHA-256, and its printable beginning.

    Messages carry ids only, so an excerpt tells nothing of what was ordered.
    """

    reason: DeathReason
    error: str
    size_bytes: int
    digest: str
    excerpt: str
    unit_id: UnitId | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One death. Of an item's inputs only size and SHA-256 are kept: they are its owner's alone."""

    id: DeadLetterId
    kind: LetterKind
    item_id: ItemId | None
    order_id: OrderId | None
    unit_id: UnitId | None
    queue: str
    reason: DeathReason
    error: str | None
    attempts: int
    size_bytes: int
    digest: str
    excerpt: str | None
    died_at: datetime
    resolved_at: datetime | None = None
    resolution: Resolution | None = None

    def check_open(self) -> None:
        """Raise Conflict(`letter_resolved`) if it is resolved."""
        if self.resolution is not None:
            raise Conflict(
                f"dead letter {self.id} was {self.resolution} already",
                code="letter_resolved",
                field="letter",
                accepted="a letter that is not resolved",
            )

    def check_retriable(self) -> None:
        """Raise Conflict(`letter_not_retriable`) for a message: what it meant to say is sent again by the sweeper."""
        if self.kind is LetterKind.MESSAGE:
            raise Conflict(
                f"dead letter {self.id} is a message that nobody can read",
                code="letter_not_retriable",
                field="letter",
                accepted="the letter of an item",
            )
