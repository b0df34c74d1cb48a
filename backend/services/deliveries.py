"""Sending what webhooks are owed: claimed in one transaction, sent outside of any, and how it ended in another.

At least once: who dies after sending is followed by another, and receivers know a repeat by its delivery id.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from backend.domain.backoff import delay_s
from backend.messaging.webhook import Outcome
from backend.storage.owed import Owed, OwedRepository
from backend.storage.unit_of_work import UnitOfWork

ATTEMPTS_MAX = 12  # over about half an hour
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 600.0

Kind = TypeVar("Kind", bound=Owed)


def send_due(
    uow: UnitOfWork,
    now: datetime,
    owed: Callable[[UnitOfWork], OwedRepository[Kind]],
    claimed_for: timedelta,
    limit: int,
    send: Callable[[Sequence[Kind]], list[Outcome]],
    jitter: float,
) -> int:
    """Send what is due, `limit` at once, and note how it ended; returns how many attempts were begun.

    What is not taken is due again after a pause that doubles, with `jitter` in [0, 1) taking up to half off; after
    ATTEMPTS_MAX it is given up.
    """
    with uow:
        claimed = owed(uow).claim(now, now + claimed_for, limit)
        uow.commit()
    if not claimed:
        return 0
    outcomes = send(claimed)
    with uow:
        owed(uow).write([_ended(one, outcome, now, jitter) for one, outcome in zip(claimed, outcomes, strict=True)])
        uow.commit()
    return len(claimed)


def pause_s(attempts: int, jitter: float) -> float:
    """Seconds until the next attempt after so many."""
    return delay_s(attempts, jitter, RETRY_FIRST_S, RETRY_MAX_S)


def _ended(delivery: Kind, outcome: Outcome, now: datetime, jitter: float) -> Kind:
    if outcome.held_back:  # nothing was sent
        wait = timedelta(seconds=max(RETRY_FIRST_S, outcome.retry_s))
        return replace(delivery, attempts=delivery.attempts - 1, due_at=now + wait, error=outcome.error)
    ended = replace(delivery, status=outcome.status, error=outcome.error)
    if outcome.taken or delivery.attempts >= ATTEMPTS_MAX:
        return replace(ended, done_at=now)
    return replace(ended, due_at=now + timedelta(seconds=pause_s(delivery.attempts, jitter)))
