"""What may be done to a dead letter."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from backend.domain.dead_letters import DeadLetter, DeathReason, LetterKind, Resolution
from backend.domain.errors import Conflict
from backend.domain.ids import DeadLetterId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LETTER = DeadLetter(
    DeadLetterId(UUID(int=1)),
    LetterKind.ITEM,
    None,
    None,
    None,
    "pool.p",
    DeathReason.FAILED,
    "x",
    3,
    9,
    "ab",
    None,
    NOW,
)


def test_a_letter_is_resolved_once() -> None:
    LETTER.check_open()
    with pytest.raises(Conflict) as refused:
        replace(LETTER, resolution=Resolution.DROPPED, resolved_at=NOW).check_open()
    assert refused.value.code == "letter_resolved"


def test_items_may_be_retried_and_messages_may_not() -> None:
    LETTER.check_retriable()
    with pytest.raises(Conflict) as refused:
        replace(LETTER, kind=LetterKind.MESSAGE).check_retriable()
    assert refused.value.code == "letter_not_retriable"
