"""The webhook's deliveries: claimed in one transaction, sent outside of any, and their ends written in another.

At least once: who dies after sending is followed by another, and receivers know a repeat by its delivery id.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from backend.domain.access import Principal, Role
from backend.domain.backoff import delay_s
from backend.domain.ids import IncidentId
from backend.domain.incidents import Incident, IncidentEvent, IncidentKind, Severity
from backend.messaging.webhook import TIMEOUT_S, Message, Outcome
from backend.services.log import record
from backend.services.webhook_bodies import body_of
from backend.storage.deliveries import Delivery
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

SEND_MAX = 10  # at once
CLAIM = timedelta(seconds=12 * TIMEOUT_S)  # nobody else sends it meanwhile
ATTEMPTS_MAX = 12  # over about half an hour
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 600.0

Send = Callable[[Sequence[Message]], list[Outcome]]


def deliver(uow: UnitOfWork, now: datetime, send: Send, jitter: float) -> int:
    """Send what is due, SEND_MAX at once, and note how it ended; returns how many attempts were begun.

    What is not taken is due again after a pause that doubles, with `jitter` in [0, 1) taking up to half off; after
    ATTEMPTS_MAX it is given up.
    """
    with uow:
        claimed = uow.deliveries.claim(now, now + CLAIM, SEND_MAX)
        uow.commit()
    if not claimed:
        return 0
    sent_s = int(now.timestamp())
    outcomes = send([Message(str(one.id), orjson.dumps(one.body), sent_s) for one in claimed])
    with uow:
        uow.deliveries.write(
            [_ended(one, outcome, now, jitter) for one, outcome in zip(claimed, outcomes, strict=True)]
        )
        uow.commit()
    return len(claimed)


def send_test(uow: UnitOfWork, now: datetime, principal: Principal, send: Send) -> Outcome:
    """Send one made-up incident at once, marked as a test; nothing of it is kept but the log. Raises Forbidden."""
    principal.require(Role.ADMIN)
    made_up = Incident(
        IncidentId(new_id()),
        IncidentKind.AGENT_LOST,
        "test",
        Severity.WARNING,
        "a test of the webhook: nothing is wrong",
        {},
        now,
        now,
    )
    delivery = new_id()
    body = orjson.dumps(body_of(made_up, IncidentEvent.TEST))
    [outcome] = send([Message(str(delivery), body, int(now.timestamp()))])
    with uow:
        record(uow, now, principal, "webhook.test", f"delivery {delivery}", status=outcome.status, error=outcome.error)
        uow.commit()
    return outcome


def pause_s(attempts: int, jitter: float) -> float:
    """Seconds until the next attempt after so many."""
    return delay_s(attempts, jitter, RETRY_FIRST_S, RETRY_MAX_S)


def _ended(delivery: Delivery, outcome: Outcome, now: datetime, jitter: float) -> Delivery:
    if outcome.held_back:  # nothing was sent
        wait = timedelta(seconds=max(RETRY_FIRST_S, outcome.retry_s))
        return replace(delivery, attempts=delivery.attempts - 1, due_at=now + wait, error=outcome.error)
    ended = replace(delivery, status=outcome.status, error=outcome.error)
    if outcome.taken or delivery.attempts >= ATTEMPTS_MAX:
        return replace(ended, done_at=now)
    return replace(ended, due_at=now + timedelta(seconds=pause_s(delivery.attempts, jitter)))
